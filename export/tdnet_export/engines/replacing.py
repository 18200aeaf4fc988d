"""A bundle that is replaced by one with other engines: may it be, and is it still the one that was read?"""

from __future__ import annotations

import os
from pathlib import Path

from tdnet_runtime.errors import ExportError
from tdnet_runtime.os_errors import told_as

__all__ = ["check_writable", "identity", "require_unchanged"]


def check_writable(target: Path) -> None:
    """Raise ExportError where the file or its folder may not be written to."""
    for path, what in (
        (target, "the bundle is read-only"),
        (target.parent, "its folder may not be written to"),
    ):
        if not os.access(path, os.W_OK):
            raise ExportError(
                f"engines cannot be put into the bundle: {what}; allow writing, or copy the bundle to where you may "
                f"write and rebuild it there: {str(target)!r}"
            )


def identity(path: Path) -> tuple[int, int, int]:
    """Changes where the file is replaced or written to; ExportError where it is gone."""
    with told_as(ExportError, "looking at the bundle whose engines are built"):
        status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def require_unchanged(path: Path, before: tuple[int, int, int]) -> None:
    """Raise ExportError where the file is no longer the one whose `identity` was `before`."""
    if identity(path) != before:
        raise ExportError(
            f"the bundle was changed by someone else while it was worked on, and is left so; run it again: {str(path)!r}"
        )
