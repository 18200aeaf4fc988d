"""The index at the end of an MCAP file."""

from __future__ import annotations

import zlib

from tdnet_runtime.sources.file_bytes import FileBytes
from tdnet_runtime.sources.mcap_contents import McapContents, MessagePlace
from tdnet_runtime.sources.mcap_records import (
    MAGIC,
    RECORD_HEAD,
    ChunkIndex,
    DamagedRecordError,
    Op,
    Statistics,
    records_in,
)

__all__ = ["indexed"]

_NO_SCHEMA = 0
_FOOTER_BYTES = 20
_TAIL_BYTES = RECORD_HEAD.size + _FOOTER_BYTES + len(MAGIC)


def indexed(file: FileBytes) -> McapContents | None:
    """What a file holds by its own index; None where that is absent, or does not fit the file or itself.

    Raises:
        MediaError: the file cannot be read.
    """
    tail = file.read(max(0, file.size - _TAIL_BYTES), _TAIL_BYTES)
    if len(tail) < _TAIL_BYTES or not tail.endswith(MAGIC):
        return None
    start = int.from_bytes(tail[RECORD_HEAD.size : RECORD_HEAD.size + 8], "little")
    if RECORD_HEAD.unpack_from(tail) != (Op.FOOTER, _FOOTER_BYTES) or not len(MAGIC) <= start < file.size:
        return None
    summary = file.read(start, file.size - start - len(MAGIC))
    crc = int.from_bytes(summary[-4:], "little")
    if crc and crc != zlib.crc32(summary[:-4]):
        return None
    contents = McapContents()
    chunks: list[ChunkIndex] = []
    stated: int | None = None
    try:
        for kind, data in records_in(memoryview(summary)):
            if kind == Op.CHUNK_INDEX:
                chunks.append(ChunkIndex.read(bytes(data)))
            elif kind == Op.STATISTICS:
                statistics = Statistics.read(bytes(data))
                stated = statistics.chunks
                contents.counts.update(statistics.messages)
            else:
                contents.learn(kind, data)
    except DamagedRecordError:
        return None
    used = set(contents.counts).union(*(chunk.channels for chunk in chunks))
    schemas = {channel.schema for channel in contents.channels.values()} - {_NO_SCHEMA}
    # Writers may leave the summary's copies of channels and schemas out.
    named = contents.channels and used <= contents.channels.keys() and schemas <= contents.schemas.keys()
    fits = all(RECORD_HEAD.size < chunk.length <= start - chunk.offset for chunk in chunks)
    if not chunks or stated not in (None, len(chunks)) or not fits or not named:
        return None
    contents.places = [
        MessagePlace(
            chunk.start_ns,
            chunk.offset + RECORD_HEAD.size,
            chunk.length - RECORD_HEAD.size,
            chunk.channels,
            True,
        )
        for chunk in chunks
    ]
    return contents
