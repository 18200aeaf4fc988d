"""The run's manifest: one line of JSON for each input, written while the run goes on."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from tdnet_batch.record import Record, decode_record, encode_record, form_of, is_half
from tdnet_runtime.atomic_file import atomic_file
from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.frames import reason

__all__ = ["Manifest"]


class Manifest(Closeable):
    """Rows by output, the newest for each; a context manager that leaves one row for each, sorted.

    Each row is on the disk before `add` returns. What a kill has left behind, half a line at the end, is dropped.

    Args:
        path: of the file, which may not exist yet.

    Raises:
        MediaError: it is another program's file or another version's, or cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rows: dict[str, Record] = {}
        content = b""
        try:
            if path.exists():
                content = path.read_bytes()
        except OSError as error:
            raise self._failure(error) from error
        lines = content.splitlines()
        for line in lines:
            record = decode_record(line)
            if record is not None:
                self.rows[record.output] = record
            elif (form := form_of(line)) is not None:
                raise MediaError(
                    f"reading the manifest: a row is of form {form}, which another version of tdnet-batch writes; use "
                    f"that, or name another --output: '{path}'"
                )
        if content.strip() and not self.rows and not is_half(content):  # half of a run's first row
            raise MediaError(f"reading the manifest: it is no tdnet-batch's; name another --output: '{path}'")
        self._compact()
        try:
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise self._failure(error) from error

    def add(self, record: Record) -> None:
        """Write one row.

        Raises:
            MediaError: it cannot be written.
        """
        line = encode_record(record)
        self.rows[record.output] = record
        try:
            begin = os.fstat(self._file.fileno()).st_size
            if self._file.write(line) != len(line):
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file.fileno(), begin)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Leave one row for each input. Safe to call twice.

        Raises:
            MediaError: what was written is told to be lost only now, as by network file systems.
        """
        if not self._file.closed:
            try:
                self._file.close()
            except OSError as error:
                raise self._failure(error) from error
            with contextlib.suppress(MediaError):  # what is there says the same, in more lines
                self._compact()

    def _compact(self) -> None:
        try:
            if not self.rows and not self._path.exists():
                return
            with atomic_file(self._path) as file:
                file.writelines(encode_record(self.rows[output]) for output in sorted(self.rows))
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> MediaError:
        return MediaError(f"the manifest cannot be read or written: {reason(error)}: '{self._path}'")
