"""The records of an MCAP file, as its specification lays them out; nothing is believed before it was checked."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from tdnet_runtime.errors import MediaError
from tdnet_runtime.extras import require

__all__ = [
    "MAGIC",
    "MESSAGE_HEAD_BYTES",
    "RECORD_HEAD",
    "Channel",
    "ChunkHead",
    "ChunkIndex",
    "DamagedRecordError",
    "Op",
    "Statistics",
    "chunk_records",
    "read_message",
    "read_message_index",
    "read_schema",
    "records_in",
]

MAGIC = b"\x89MCAP0\r\n"
RECORD_HEAD = struct.Struct("<BQ")
_MESSAGE = struct.Struct("<HIQQ")
_CHUNK = struct.Struct("<QQQI")
MESSAGE_HEAD_BYTES = _MESSAGE.size
"""What stands before a message's own bytes."""

_LARGEST_CHUNK_BYTES = 2 << 30


class Op(IntEnum):
    """Kinds of records."""

    HEADER = 1
    FOOTER = 2
    SCHEMA = 3
    CHANNEL = 4
    MESSAGE = 5
    CHUNK = 6
    MESSAGE_INDEX = 7
    CHUNK_INDEX = 8
    STATISTICS = 11
    DATA_END = 15


class DamagedRecordError(Exception):
    """A record does not hold what it claims."""


class Channel(NamedTuple):
    """A channel's record."""

    id: int
    schema: int
    topic: str
    encoding: str

    @classmethod
    def read(cls, data: bytes) -> Channel:
        """Raises DamagedRecordError."""
        identity, schema = _unpack("<HH", data, 0)
        topic, at = _text(data, 4)
        encoding, _ = _text(data, at)
        return cls(identity, schema, topic, encoding)


class ChunkHead(NamedTuple):
    """What stands before a chunk's data.

    Attributes:
        data_at: where they begin in the record.
    """

    start_ns: int
    end_ns: int
    size: int
    crc: int
    compression: str
    data_at: int

    @classmethod
    def read(cls, data: bytes) -> ChunkHead:
        """Raises DamagedRecordError."""
        start, end, size, crc = _unpack(_CHUNK.format, data, 0)
        compression, at = _text(data, _CHUNK.size)
        return cls(start, end, size, crc, compression, at + 8)

    @property
    def is_compressed(self) -> bool:
        """Its records have to be unpacked."""
        return self.compression not in ("", "none")


class ChunkIndex(NamedTuple):
    """A chunk's place by the summary.

    Attributes:
        channels: in it; empty where the file does not say.
    """

    start_ns: int
    offset: int
    length: int
    channels: frozenset[int]

    @classmethod
    def read(cls, data: bytes) -> ChunkIndex:
        """Raises DamagedRecordError."""
        start, _, offset, length, size = _unpack("<QQQQI", data, 0)
        if size % 10 or 36 + size > len(data):
            raise DamagedRecordError("a chunk's index is cut short")
        channels = frozenset(struct.unpack_from("<H", data, at)[0] for at in range(36, 36 + size, 10))
        return cls(start, offset, length, channels)


class Statistics(NamedTuple):
    """What the summary says of numbers.

    Attributes:
        chunks: in the file.
        messages: by channel.
    """

    chunks: int
    messages: dict[int, int]

    @classmethod
    def read(cls, data: bytes) -> Statistics:
        """Raises DamagedRecordError."""
        (chunks,) = _unpack("<I", data, 22)
        (size,) = _unpack("<I", data, 42)
        if size % 10 or 46 + size > len(data):
            raise DamagedRecordError("the statistics are cut short")
        pairs = (_unpack("<HQ", data, at) for at in range(46, 46 + size, 10))
        return cls(chunks, {pair[0]: pair[1] for pair in pairs})


def read_schema(data: bytes) -> tuple[int, str]:
    """(id, name) of a schema's record. Raises DamagedRecordError."""
    (identity,) = _unpack("<H", data, 0)
    return identity, _text(data, 2)[0]


def read_message(data: memoryview) -> tuple[int, int, int]:
    """(channel id, sequence, log time) of a message's record. Raises DamagedRecordError."""
    channel, sequence, log_time, _ = _unpack(_MESSAGE.format, data, 0)
    return channel, sequence, log_time


def read_message_index(data: bytes) -> tuple[int, int]:
    """(channel id, number of messages) of a message index. Raises DamagedRecordError."""
    channel, size = _unpack("<HI", data, 0)
    return channel, size // 16


def records_in(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """(kind, content) of each record that lies in `data` whole; ends at the first that does not."""
    at = 0
    while at + RECORD_HEAD.size <= len(data):
        kind, length = RECORD_HEAD.unpack_from(data, at)
        at += RECORD_HEAD.size
        if kind == 0 or length > len(data) - at:
            return
        yield kind, data[at : at + length]
        at += length


def chunk_records(record: memoryview) -> memoryview:
    """The records of a chunk, unpacked and checked.

    Args:
        record: the chunk's whole content.

    Raises:
        DamagedRecordError: it does not unpack, or its checksum is wrong.
        MissingExtraError: the package for its compression is missing.
        MediaError: an unknown compression.
    """
    head = ChunkHead.read(bytes(record[:64]))
    (size,) = _unpack("<Q", record, head.data_at - 8)
    data = record[head.data_at : head.data_at + size]
    if len(data) != size:
        raise DamagedRecordError("a chunk is shorter than it claims")
    if head.size > _LARGEST_CHUNK_BYTES:
        raise DamagedRecordError(f"a chunk claims {head.size} bytes")
    if not head.size:
        return memoryview(b"")
    if head.compression == "zstd":
        data = memoryview(_unzstd(data, head.size))
    elif head.compression == "lz4":
        data = memoryview(_unlz4(data, head.size))
    elif head.is_compressed:
        raise MediaError(
            f"its chunks are compressed by {head.compression!r}; expected zstd, lz4 or nothing: convert it with "
            "`mcap compress`"
        )
    if len(data) != head.size:
        raise DamagedRecordError(
            f"a chunk unpacks to {len(data)} bytes, not to the {head.size} that it claims"
        )
    if head.crc and zlib.crc32(data) != head.crc:
        raise DamagedRecordError("a chunk's checksum is wrong")
    return data


def _unzstd(data: memoryview, size: int) -> bytes:
    zstandard = require("zstandard", extra="mcap")
    try:
        if zstandard.frame_content_size(data) not in (-1, size):
            raise DamagedRecordError("a chunk unpacks to another size than it claims")
        unpacked: bytes = zstandard.ZstdDecompressor().decompress(data, max_output_size=size)
    except zstandard.ZstdError as error:
        raise DamagedRecordError(f"a chunk does not unpack ({error})") from error
    return unpacked


def _unlz4(data: memoryview, size: int) -> bytes:
    frame = require("lz4.frame", extra="mcap")
    try:
        unpacked: bytes = frame.LZ4FrameDecompressor().decompress(data, max_length=size)
    except RuntimeError as error:
        raise DamagedRecordError(f"a chunk does not unpack ({error})") from error
    return unpacked


def _unpack(form: str, data: bytes | memoryview, at: int) -> tuple[int, ...]:
    try:
        return struct.unpack_from(form, data, at)
    except struct.error as error:
        raise DamagedRecordError("a record is cut short") from error


def _text(data: bytes, at: int) -> tuple[str, int]:
    """The string that begins at `at`, and where it ends."""
    (size,) = _unpack("<I", data, at)
    end = at + 4 + size
    if end > len(data):
        raise DamagedRecordError("a record is cut short")
    return data[at + 4 : end].decode(errors="replace"), end
