"""The members of a bundle as files, for other tools."""

from __future__ import annotations

import os
from pathlib import Path

from tdnet_runtime.atomic_file import atomic_file
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.errors import BundleError
from tdnet_runtime.member_names import MANIFEST_NAME, some_names

__all__ = ["extract"]


def extract(bundle: Bundle, directory: str | os.PathLike[str]) -> list[Path]:
    """Unpack the manifest and all members below `directory`, which is made if it is not there.

    Each file appears under its name when it is whole. Nothing is overwritten, and where it fails midway
    the files that it wrote are removed.

    Returns:
        The files written, the manifest first.

    Raises:
        BundleError: a file is there already, the folder cannot be written, or the bundle was changed.
    """
    directory = Path(directory)
    targets = {directory / name: name for name in (MANIFEST_NAME, *sorted(bundle.manifest.members))}
    if taken := [str(target) for target in targets if os.path.lexists(target)]:
        raise BundleError(
            f"extracting would overwrite {some_names(taken)}; name an empty folder: {str(directory)!r}"
        )
    written: list[Path] = []
    try:
        for target, name in targets.items():
            data = bundle.read(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(target) as file:
                file.write(data)
            written.append(target)
    except BaseException as error:
        for target in written:
            target.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise BundleError(
                f"extracting failed: {error.strerror or error}; nothing was kept; check that the folder may "
                f"be written to and has room: {str(directory)!r}"
            ) from error
        raise
    return written
