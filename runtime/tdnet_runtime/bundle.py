"""A bundle (`*.plan`): one file with a manifest and everything it names, verified before any use.

The file is an uncompressed zip: `manifest.json`, `graphs/<precision>/*.onnx`, and where present
`engines/<backend>/<key>/*` and `reports/*.json`. Whoever wrote it, it is treated as a stranger's.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from tdnet_runtime.bundle_bytes import bytes_at, chunks_at, last_change, sha256_at
from tdnet_runtime.bundle_writer import write_bundle
from tdnet_runtime.bundle_zip import data_offset, open_file, read_directory, read_manifest
from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import BundleDigestError, BundleError, BundleFormatError, OptionError
from tdnet_runtime.forks import ForkBound
from tdnet_runtime.manifest import Manifest, decode_manifest
from tdnet_runtime.member_names import MANIFEST_NAME, some_names

__all__ = ["Bundle", "write_bundle"]

_SHA256 = re.compile(r"[0-9a-f]{64}")


class Bundle(Closeable, ForkBound):
    """An open bundle, every byte of which was compared with its manifest; see `open` (and `open_unread`).

    A context manager. `read` may be called from several threads, and not in a child that is forked from this process.

    Attributes:
        path: the file, as it was given.
        manifest: what the bundle says about itself.
        digest: SHA-256 (hexadecimal) of `manifest.json`; it covers all members through their digests. The file's own is
            `file_sha256`.
    """

    fork_error = BundleError

    def __init__(
        self,
        path: Path,
        manifest: Manifest,
        *,
        encoded: bytes,
        file: BufferedReader,
        offsets: Mapping[str, int],
    ) -> None:
        self.path = path
        self.manifest = manifest
        self.digest = hashlib.sha256(encoded).hexdigest()
        self._encoded = encoded
        self._file = file
        self._offsets = offsets
        self._unread = set(offsets)  # members of which no byte was compared yet

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, sha256: str | None = None) -> Bundle:
        """Open the bundle at `path` and verify all of it.

        Args:
            path: the `*.plan` file.
            sha256: of the whole file, as `sha256sum` prints it: another file is refused before anything in it is parsed.
                None for any file.

        Raises:
            OptionError: `sha256` is no such digest.
            BundleError: there is no such file, or it may not be read.
            BundleFormatError: not a bundle, not whole, or not safe to read.
            BundleDigestError: the file is not the one of `sha256`, or a member is not what the manifest says.
            BundleVersionError: the manifest's schema is not one that is read here.
        """
        bundle = cls.open_unread(path, sha256=sha256)
        try:
            bundle.verify()
        except BaseException:
            bundle.close()
            raise
        return bundle

    @classmethod
    def open_unread(cls, path: str | os.PathLike[str], *, sha256: str | None = None) -> Bundle:
        """As `open`, with the members still to be verified: `read` does so with what it gives, `verify` with the rest.

        So an engine that is being loaded gets nothing that was not verified, and each byte is read and hashed once. Nothing
        of the bundle may be handed out before `verify`.
        """
        path = Path(path)
        expected = None if sha256 is None else _checked_sha256(sha256)
        file = open_file(path)
        try:
            begun = last_change(file)
            if expected is not None and (found := sha256_at(file, 0)) != expected:
                raise BundleDigestError(
                    f"the file has SHA-256 {found}, {expected} was asked for (of the whole file, as sha256sum prints "
                    f"it): it is another bundle, or damaged; nothing in it was read: {str(path)!r}"
                )
            bundle = cls._unread_bundle(path, file)
            if expected is not None and last_change(file) != begun:  # its manifest may be another file's
                raise BundleDigestError(
                    f"the file was written to after its SHA-256 was found and before its manifest was read; open it when "
                    f"it is whole, and put bundles in place by renaming: {str(path)!r}"
                )
            return bundle
        except OSError as error:
            file.close()
            raise BundleError(
                f"reading the bundle failed: {error.strerror or error}: {str(path)!r}"
            ) from error
        except BaseException:
            file.close()
            raise

    @classmethod
    def _unread_bundle(cls, path: Path, file: BufferedReader) -> Bundle:
        entries = read_directory(file, path)
        encoded = read_manifest(file, entries[MANIFEST_NAME], path)
        try:
            manifest = decode_manifest(encoded)
        except BundleError as error:
            from tdnet_runtime.extras import one_line  # which no sound bundle needs

            raise type(error)(
                f"{one_line(str(error))}: {str(path)!r}"
            ) from error  # a stranger's words are in it
        present = entries.keys() - {MANIFEST_NAME}
        if absent := sorted(manifest.members.keys() - present):
            raise BundleFormatError(
                f"the manifest lists {some_names(absent)}, absent from the bundle: {str(path)!r}"
            )
        if unlisted := sorted(present - manifest.members.keys()):
            raise BundleFormatError(
                f"the bundle holds {some_names(unlisted)}, which its manifest does not list: {str(path)!r}"
            )
        for name, spec in manifest.members.items():
            if entries[name].file_size != spec.size:
                raise BundleDigestError(
                    f"member {name!r} has {entries[name].file_size} bytes, the manifest says {spec.size}; "
                    f"export the bundle again: {str(path)!r}"
                )
        offsets = {name: data_offset(file, entries[name], path) for name in manifest.members}
        return cls(path, manifest, encoded=encoded, file=file, offsets=offsets)

    def verify(self) -> None:
        """Compare all members with the manifest that were not yet, in chunks of 1 MiB.

        Threads that call it at the same time share the work, and each returns when nothing is left to begin.

        Raises:
            BundleDigestError: a member is not what the manifest says.
            BundleError: the file cannot be read any more, or the bundle is closed.
        """
        for member in sorted(self._unread, key=self._offsets.__getitem__):
            if member in self._unread:  # still: another thread may have begun it
                with self._comparing(member):
                    size = self.manifest.members[member].size
                    self._check_digest(member, sha256_at(self._file, self._offsets[member], size))

    def read(self, member: str) -> bytes:
        """The bytes of `member`, or of `manifest.json`.

        Their digest was compared, again if it was before, so what is used is what was verified.

        Raises:
            BundleDigestError: the file was changed since it was opened.
            BundleError: there is no such member, the bundle is closed, the file cannot be read any more, or this is a
                forked child.
        """
        self.require_own_process("read()")
        if self._file.closed:
            raise BundleError(
                f"reading member {member!r}: the bundle is closed; read before: {str(self.path)!r}"
            )
        if member == MANIFEST_NAME:
            return self._encoded
        spec = self.manifest.members.get(member)
        if spec is None:
            members = some_names(sorted(self.manifest.members))
            raise BundleError(f"the bundle has no member {member!r}, only {members}: {str(self.path)!r}")
        with self._comparing(member):
            data = bytes_at(self._file, self._offsets[member], spec.size)
            self._check_digest(member, hashlib.sha256(data).hexdigest())
        return data

    def file_sha256(self) -> str:
        """SHA-256 (hexadecimal) of the whole file, as `sha256sum` prints it and `open` takes it; reads all of it.

        Raises:
            BundleError: the bundle is closed, the file cannot be read any more, or this is a forked child.
        """
        self._require_open("file_sha256()")
        try:
            return sha256_at(self._file, 0)
        except (OSError, ValueError) as error:
            raise self._unreadable("reading the bundle failed", error) from error

    def chunks(self) -> Iterator[memoryview]:
        """The whole file's bytes, in order: of the file that was opened, whatever lies at `path` meanwhile.

        Each chunk is overwritten by the next one. Nothing is compared again: open the copy to verify it.

        Raises:
            BundleError: the bundle is closed, the file cannot be read any more, or this is a forked child.
        """
        self._require_open("chunks()")
        try:
            yield from chunks_at(self._file, 0)
        except (OSError, ValueError) as error:
            raise self._unreadable("reading the bundle failed", error) from error

    def close(self) -> None:
        """Close the file. Safe to call twice; `manifest` and `digest` stay. Nothing in a forked child."""
        if not self.stranded:
            self._file.close()

    def _require_open(self, call: str) -> None:
        self.require_own_process(call)
        if self._file.closed:
            raise BundleError(f"{call}: the bundle is closed; ask before: {str(self.path)!r}")

    @contextmanager
    def _comparing(self, member: str) -> Iterator[None]:
        """From here on no other thread begins with it; where it fails, it is still to be compared."""
        try:
            self._unread.discard(member)
            yield
        except BaseException as error:
            self._unread.add(member)
            if isinstance(error, (OSError, ValueError)):  # ValueError: closed meanwhile
                raise self._unreadable(f"reading member {member!r} failed", error) from error
            raise

    def _unreadable(self, doing: str, error: OSError | ValueError) -> BundleError:
        return BundleError(f"{doing}: {getattr(error, 'strerror', None) or error}: {str(self.path)!r}")

    def _check_digest(self, member: str, found: str) -> None:
        expected = self.manifest.members[member].sha256
        if found != expected:
            raise BundleDigestError(
                f"member {member!r} has SHA-256 {found[:16]}…, the manifest says {expected[:16]}…: it was "
                f"damaged or changed; copy the bundle again, or export it again: {str(self.path)!r}"
            )


def _checked_sha256(text: str) -> str:
    """`text` in lower case, where it is a digest."""
    digest = text.strip().lower() if isinstance(text, str) else ""
    if not _SHA256.fullmatch(digest):
        raise OptionError(
            f"sha256 is {text!r}; expected the 64 hexadecimal digits that sha256sum prints for the bundle's file"
        )
    return digest
