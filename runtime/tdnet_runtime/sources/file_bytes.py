"""A file that is read at any place, by any thread."""

from __future__ import annotations

import os
from pathlib import Path

from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.frames import reason

__all__ = ["FileBytes"]

_MOST_AT_ONCE = 1 << 30  # Linux reads no more than 2 GiB at a time


class FileBytes(Closeable):
    """A log's file, without a place of its own in it.

    Args:
        path: of the file.

    Attributes:
        size: in bytes, when it was opened.

    Raises:
        MediaError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self.size = os.fstat(self._descriptor).st_size
        except OSError as error:
            raise MediaError(f"opening the log: {reason(error)}: '{path}'") from error

    def close(self) -> None:
        """Safe to call twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset` on; fewer at the file's end.

        Raises:
            MediaError: the disk fails, or the file is closed.
        """
        parts = []
        try:
            while length > 0:
                part = os.pread(self._descriptor, min(length, _MOST_AT_ONCE), offset)
                if not part:
                    break
                parts.append(part)
                offset, length = offset + len(part), length - len(part)
        except OSError as error:
            raise MediaError(f"reading the log: {reason(error)}: '{self._path}'") from error
        return parts[0] if len(parts) == 1 else b"".join(parts)
