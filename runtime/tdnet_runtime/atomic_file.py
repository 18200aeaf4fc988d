"""A file that appears under its name only when it is whole."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tdnet_runtime.forks import count

__all__ = ["PARTIAL_SUFFIX", "atomic_file", "partial_path"]

PARTIAL_SUFFIX = ".partial"
_PERMISSIONS = 0o777  # not set-user-ID and its like, which belong to an owner


def partial_path(path: Path) -> Path:
    """A new name beside `path`, 17 characters longer; that of a file until it is whole."""
    return path.with_name(f"{path.name}.{os.urandom(4).hex()}{PARTIAL_SUFFIX}")


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A new binary file for writing, which takes the name `path` when the block ends well.

    Until then it has a name of its own beside `path`, ending in `PARTIAL_SUFFIX`, and an existing file at
    `path` stays whole. It is on the disk before it is renamed. Any exception in the block, Ctrl-C
    included, removes it.

    Who may read and write it: as the file at `path` says, whose permission bits are kept; for a new one the
    umask, as for any program's files.

    A child that is forked in the block leaves all of it to the parent, whatever ends the block in the child.

    Raises:
        OSError: as from opening, writing and renaming.
    """
    partial = partial_path(path)
    forks = count()
    try:
        with partial.open("xb") as file:
            _keep_permissions(file.fileno(), path)  # before there is anything in it to be read
            try:
                yield file
            finally:
                if count() != forks:
                    file.raw.close()  # without what is in the buffer, which the parent writes
            if count() != forks:
                return
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        if count() == forks:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
        raise


def _keep_permissions(descriptor: int, path: Path) -> None:
    """Give the open file the permission bits of the one at `path`, if there is one."""
    try:
        kept = path.stat().st_mode & _PERMISSIONS
    except FileNotFoundError:
        return
    if stat.S_IMODE(os.fstat(descriptor).st_mode) != kept:  # a file system without such bits has none to set
        os.fchmod(descriptor, kept)
