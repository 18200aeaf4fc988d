"""Write a bundle: the same bytes for the same content, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from tdnet_runtime.atomic_file import atomic_file
from tdnet_runtime.errors import BundleError, ExportError
from tdnet_runtime.manifest import Manifest, MemberSpec, decode_manifest, encode_manifest
from tdnet_runtime.member_names import MANIFEST_NAME
from tdnet_runtime.os_errors import told_as

__all__ = ["write_bundle"]

_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can hold
_UNIX = 3
_REGULAR_FILE_0644 = 0o100644 << 16


def write_bundle(
    path: str | os.PathLike[str], manifest_without_members: Manifest, members: Mapping[str, bytes]
) -> Manifest:
    """Write `members` and the manifest, completed with their sizes and digests, to `path`.

    The file is an uncompressed zip, manifest first, then the members by name, whose bytes depend on
    the content alone. It is written to a temporary name beside `path` and renamed when it is whole: an
    existing file at `path` stays as it is until then, and an exception leaves nothing behind.

    Returns:
        The manifest as written, with its `members`.

    Raises:
        ExportError: the disk is full, the folder absent or not writable; or the bundle could not be read
            again, since the manifest contradicts `members`, or a member's name is not safe.
    """
    path = Path(path)
    with told_as(ExportError, "the bundle was not written"):
        is_folder = path.is_dir()
    if is_folder:
        raise ExportError(f"the bundle was not written, since this is a folder; name a file: {str(path)!r}")
    listed = {name: _member_spec(members[name]) for name in sorted(members)}
    try:
        encoded = encode_manifest(msgspec.structs.replace(manifest_without_members, members=listed))
        manifest = decode_manifest(encoded)
    except (BundleError, ValueError) as error:  # ValueError: msgspec from 0.20 on validates in replace()
        raise ExportError(f"the bundle was not written, since it could not be read again: {error}") from error
    total_mib = (len(encoded) + sum(spec.size for spec in listed.values())) / 2**20
    try:
        with atomic_file(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(_entry(MANIFEST_NAME), encoded)
            for name in listed:
                archive.writestr(_entry(name), members[name])
    except OSError as error:
        raise ExportError(
            f"the bundle of {total_mib:.1f} MiB was not written: {error.strerror or error}; check that the "
            f"folder exists, may be written to and has room: {str(path)!r}"
        ) from error
    return manifest


def _member_spec(data: bytes) -> MemberSpec:
    return MemberSpec(size=len(data), sha256=hashlib.sha256(data).hexdigest())


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _DATE)
    entry.compress_type = zipfile.ZIP_STORED
    entry.create_system = _UNIX
    entry.external_attr = _REGULAR_FILE_0644
    return entry
