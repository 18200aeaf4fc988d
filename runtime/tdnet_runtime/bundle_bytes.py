"""Bytes of an open file by their place: without the file's position, so that threads may read at the same time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from io import BufferedReader

__all__ = ["bytes_at", "chunks_at", "last_change", "sha256_at"]

_CHUNK_BYTES = 1 << 20
_MOST_AT_ONCE = 0x7FFFF000  # Linux gives no more, and macOS refuses 2 GiB


def bytes_at(file: BufferedReader, offset: int, size: int) -> bytes:
    """`size` bytes from `offset` on; fewer where the file ends.

    Raises:
        OSError: as from reading.
        ValueError: the file is closed.
    """
    parts = []
    while size and (part := os.pread(file.fileno(), min(size, _MOST_AT_ONCE), offset)):
        parts.append(part)
        size, offset = size - len(part), offset + len(part)
    return b"".join(parts)


def sha256_at(file: BufferedReader, offset: int, size: int | None = None) -> str:
    """SHA-256 (hexadecimal) of what `bytes_at` would give, or of all to the file's end; holds 1 MiB of it at most.

    Raises:
        OSError: as from reading.
        ValueError: the file is closed.
    """
    digest = hashlib.sha256()
    for chunk in chunks_at(file, offset, size):
        digest.update(chunk)
    return digest.hexdigest()


def chunks_at(file: BufferedReader, offset: int, size: int | None = None) -> Iterator[memoryview]:
    """What `bytes_at` would give, or all to the file's end, 1 MiB at most at a time; each chunk is overwritten by the next.

    Raises:
        OSError: as from reading.
        ValueError: the file is closed.
    """
    end = None if size is None else offset + size
    chunk = memoryview(bytearray(_CHUNK_BYTES if size is None else min(size, _CHUNK_BYTES)))
    while end is None or offset < end:
        wanted = chunk if end is None else chunk[: end - offset]
        count = os.preadv(file.fileno(), [wanted], offset)
        if not count:
            break
        yield chunk[:count]
        offset += count


def last_change(file: BufferedReader) -> tuple[int, ...]:
    """What differs once the file was written to, as fine as its file system keeps time."""
    found = os.fstat(file.fileno())
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns
