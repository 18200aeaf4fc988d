"""What can be had of a damaged MCAP file: the next whole chunk, and the front of one that is not."""

from __future__ import annotations

import re
from contextlib import suppress

from tdnet_runtime.extras import require
from tdnet_runtime.sources.file_bytes import FileBytes
from tdnet_runtime.sources.mcap_records import RECORD_HEAD, ChunkHead, DamagedRecordError

__all__ = ["chunk_front", "next_chunk"]

_WINDOW_BYTES = 1 << 22
_HEAD_BYTES = 73  # of a chunk's record, in which its own head lies
_FRONT_BYTES = 1 << 16  # schemas and channels come first
_MAYBE_CHUNK = re.compile(rb"\x06.{5}\0\0\0", re.DOTALL)  # none has a terabyte


def next_chunk(file: FileBytes, at: int) -> int | None:
    """Where the next chunk's record begins, from `at` on, whose lengths agree and which the file holds whole.

    Raises:
        MediaError: the file cannot be read.
    """
    while at < file.size:
        window = file.read(at, _WINDOW_BYTES + _HEAD_BYTES)
        for found in _MAYBE_CHUNK.finditer(window, 0, _WINDOW_BYTES + RECORD_HEAD.size - 1):
            begin = found.start()
            _, length = RECORD_HEAD.unpack_from(window, begin)
            with suppress(DamagedRecordError):
                head = ChunkHead.read(window[begin + RECORD_HEAD.size : begin + _HEAD_BYTES])
                held = int.from_bytes(window[begin + RECORD_HEAD.size + head.data_at - 8 :][:8], "little")
                fits = length == head.data_at + held and at + begin + RECORD_HEAD.size + length <= file.size
                if fits and head.compression in ("", "none", "zstd", "lz4"):
                    return at + begin
        at += _WINDOW_BYTES
    return None


def chunk_front(record: memoryview) -> memoryview:
    """The first records of a damaged chunk, as far as they unpack, unchecked.

    Args:
        record: the chunk's whole content.
    """
    front = b""
    with suppress(DamagedRecordError):
        head = ChunkHead.read(bytes(record[:64]))
        data = record[head.data_at :]
        if not head.is_compressed:
            return data
        if head.compression == "zstd":
            zstandard = require("zstandard", extra="mcap")
            with suppress(zstandard.ZstdError):
                front = zstandard.ZstdDecompressor().stream_reader(bytes(data)).read(_FRONT_BYTES)
        elif head.compression == "lz4":
            frame = require("lz4.frame", extra="mcap")
            with suppress(RuntimeError):
                front = frame.LZ4FrameDecompressor().decompress(data, max_length=_FRONT_BYTES)
    return memoryview(front)
