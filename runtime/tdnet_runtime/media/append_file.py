"""A file that PyAV writes to, whose errors are not lost."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import stat
from pathlib import Path

__all__ = ["AppendFile", "open_alone"]


class AppendFile:
    """A new file to which bytes are only appended, each at once; `error` is where a failure is told.

    Given to `av.open` in place of a name. PyAV 18 drops what fails while a container is closed, such as
    the last seconds of a video on a full disk, so `write` never raises: look at `error` after every call
    into PyAV. After an error nothing more is written.

    Attributes:
        name: of the file; PyAV shows it.
        size: bytes written.
        error: the first failure.

    Raises:
        OSError: it cannot be opened, or another program writes to it; a file that exists is as it was.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = open_alone(path)
        self.name = str(path)
        self.size = 0
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Append `data`, or fail silently."""
        rest = memoryview(data)
        while rest and self.error is None:
            try:
                count = self._file.write(rest)
            except OSError as error:
                self.error = error
            else:
                self.size += count
                rest = rest[count:]
        return len(data)

    def close(self) -> None:
        """Close the file; a failure goes to `error`. Safe to call twice."""
        try:
            self._file.close()
        except OSError as error:
            self.error = self.error or error

    def cut(self, size: int) -> None:
        """Close the file and keep its first `size` bytes; remove it where that is none."""
        self.close()
        with contextlib.suppress(OSError):
            if not self._path.is_file():
                return  # a device
            if size:
                os.truncate(self._path, size)
            else:
                self._path.unlink()


def open_alone(path: Path) -> io.FileIO:
    """The file, empty, for writing without a buffer; while it is open nobody else opens it so.

    Raises:
        OSError: it cannot be opened, or another program writes to it; a file that exists is as it was.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(errno.EBUSY, "another run is writing it; name another file") from None
        except OSError:  # a file system without locks
            pass
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.ftruncate(descriptor, 0)
        return io.FileIO(descriptor, "wb")
    except BaseException:
        os.close(descriptor)
        raise
