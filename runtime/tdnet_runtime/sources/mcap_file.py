"""Reading an MCAP file, whole or cut short, with its index or without."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import tdnet_runtime
from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.frames import reason
from tdnet_runtime.sources.log_file import Block, LogMessage, LogTopic
from tdnet_runtime.sources.mcap_records import (
    MAGIC,
    MESSAGE_HEAD_BYTES,
    RECORD_HEAD,
    Channel,
    ChunkHead,
    ChunkIndex,
    DamagedRecordError,
    Op,
    chunk_records,
    read_counts,
    read_message,
    read_message_index,
    read_schema,
    records_in,
)

__all__ = ["McapFile"]

_FOOTER_BYTES = 20
_RUN_BYTES = 1 << 20
_HEAD_BYTES = 64  # of a chunk, in which its own head lies


class _Ref(NamedTuple):
    """Where messages are: a chunk's content, or a run of records outside chunks.

    Attributes:
        channels: in it; empty where that is not known.
    """

    start_ns: int
    offset: int
    length: int
    channels: frozenset[int]
    is_chunk: bool


class McapFile(Closeable):
    """See `LogFile`. Messages are found by the index at the file's end, or by looking through the file once.

    Whatever is whole is read: of a file that was cut short all chunks but the last, and of that one the messages in
    front where it is not compressed. A chunk in the midst that is damaged comes as one message without data.

    Args:
        path: of the file.

    Raises:
        MediaError: it cannot be read, is no MCAP, or its first record is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.cut: str | None = None
        self.reader = f"tdnet-deploy {tdnet_runtime.__version__} (MCAP)"
        self._schemas: dict[int, str] = {}
        self._channels: dict[int, Channel] = {}
        self._counts: Counter[int] = Counter()
        self._refs: list[_Ref] = []
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise MediaError(f"opening the log: {reason(error)}: '{path}'") from error
        try:
            self._size = os.fstat(self._descriptor).st_size
            if self._read(0, len(MAGIC)) != MAGIC:
                raise MediaError(f"opening the log: it does not begin as an MCAP file does: '{path}'")
            if not self._use_index():
                self._look_through()
        except BaseException:
            self.close()
            raise

    @property
    def topics(self) -> list[LogTopic]:
        """See `LogFile`."""
        found: dict[tuple[str, str, str], int] = {}
        for channel in self._channels.values():
            key = channel.topic, self._schemas.get(channel.schema, ""), channel.encoding
            found[key] = found.get(key, 0) + self._counts[channel.id]
        counted = bool(self._counts)
        return [
            LogTopic(name=name, type=kind, encoding=encoding, count=number if counted else None)
            for (name, kind, encoding), number in found.items()
        ]

    def blocks(self, topic: str) -> list[Block]:
        """See `LogFile`."""
        wanted = {channel.id for channel in self._channels.values() if channel.topic == topic}
        return [
            Block(ref.start_ns, partial(self._messages, ref, wanted))
            for ref in self._refs
            if not ref.channels or wanted & ref.channels
        ]

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes: fewer at the file's end."""
        parts = []
        try:
            while length > 0:
                part = os.pread(self._descriptor, min(length, 1 << 30), offset)
                if not part:
                    break
                parts.append(part)
                offset, length = offset + len(part), length - len(part)
        except OSError as error:
            raise MediaError(f"reading the log: {reason(error)}: '{self._path}'") from error
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _use_index(self) -> bool:
        """Take channels and chunks from the summary at the end; False where it is absent or does not hold."""
        tail = self._read(
            max(0, self._size - RECORD_HEAD.size - _FOOTER_BYTES - len(MAGIC)), RECORD_HEAD.size + 28
        )
        if len(tail) < RECORD_HEAD.size + 28 or not tail.endswith(MAGIC):
            return False
        kind, length = RECORD_HEAD.unpack_from(tail)
        start = int.from_bytes(tail[RECORD_HEAD.size : RECORD_HEAD.size + 8], "little")
        if (kind, length) != (Op.FOOTER, _FOOTER_BYTES) or not len(MAGIC) <= start < self._size:
            return False
        chunks: list[ChunkIndex] = []
        stated: int | None = None
        try:
            for kind, data in records_in(memoryview(self._read(start, self._size - start - len(MAGIC)))):
                if kind == Op.CHUNK_INDEX:
                    chunks.append(ChunkIndex.read(bytes(data)))
                elif kind == Op.STATISTICS:
                    _, counts = read_counts(bytes(data))
                    stated = int.from_bytes(data[26:30], "little")
                    self._counts.update(counts)
                else:
                    self._learn(kind, data)
        except DamagedRecordError:
            chunks = []
        used = set().union(*(chunk.channels for chunk in chunks))
        fits = all(RECORD_HEAD.size < chunk.length <= start - chunk.offset for chunk in chunks)
        if not chunks or stated not in (None, len(chunks)) or not fits or not used <= self._channels.keys():
            self._counts.clear()
            return False
        self._refs = [
            _Ref(
                chunk.start_ns,
                chunk.offset + RECORD_HEAD.size,
                chunk.length - RECORD_HEAD.size,
                chunk.channels,
                True,
            )
            for chunk in chunks
        ]
        return True

    def _learn(self, kind: int, data: memoryview) -> None:
        """Take note of a schema or channel."""
        if kind == Op.SCHEMA:
            identity, name = read_schema(bytes(data))
            self._schemas.setdefault(identity, name)
        elif kind == Op.CHANNEL:
            channel = Channel.read(bytes(data))
            self._channels.setdefault(channel.id, channel)

    def _look_through(self) -> None:
        """Find chunks, channels and runs of messages from the file's beginning on, as far as it is whole."""
        at, ended = len(MAGIC), False
        index: dict[int, int] = {}  # of the last chunk: messages by channel
        while at < self._size and not ended:
            head = self._read(at, RECORD_HEAD.size)
            kind, length = RECORD_HEAD.unpack(head) if len(head) == RECORD_HEAD.size else (0, 0)
            begin = at + RECORD_HEAD.size
            if kind != Op.MESSAGE_INDEX:
                self._settle(index)
                index = {}
            if kind == 0 or begin + length > self._size:
                self.cut = f"cut short or damaged from byte {at} of {self._size} on"
                if kind == Op.CHUNK:
                    self._take_rest(begin)
                break
            try:
                if kind == Op.CHUNK:
                    chunk = ChunkHead.read(self._read(begin, min(length, _HEAD_BYTES)))
                    self._refs.append(_Ref(chunk.start_ns, begin, length, frozenset(), True))
                elif kind == Op.MESSAGE_INDEX:
                    channel, number = read_message_index(self._read(begin, min(length, 6)))
                    index[channel] = number
                elif kind == Op.MESSAGE:
                    self._extend_run(at, begin, length)
                elif kind in (Op.SCHEMA, Op.CHANNEL):
                    self._learn(kind, memoryview(self._read(begin, length)))
            except DamagedRecordError as error:
                self.cut = f"damaged at byte {at} of {self._size} ({error})"
                break
            ended = kind in (Op.DATA_END, Op.FOOTER)
            at = begin + length
        else:
            self._settle(index)
            if not ended:
                self.cut = f"it was never ended; its {self._size} bytes are whole"
            elif self._read(self._size - len(MAGIC), len(MAGIC)) != MAGIC:
                self.cut = "cut short in its index; all its messages are there"

    def _settle(self, index: dict[int, int]) -> None:
        """Complete the last chunk's entry by the message index behind it, or by looking into it."""
        if not self._refs or not self._refs[-1].is_chunk or self._refs[-1].channels:
            return
        ref = self._refs[-1]
        if not index or not index.keys() <= self._channels.keys():
            index = Counter()
            try:
                for kind, data in records_in(chunk_records(memoryview(self._read(ref.offset, ref.length)))):
                    self._learn(kind, data)
                    if kind == Op.MESSAGE:
                        index[read_message(data)[0]] += 1
            except DamagedRecordError:
                pass  # told when it is read
        self._counts.update(index)
        self._refs[-1] = ref._replace(channels=frozenset(index))

    def _extend_run(self, at: int, begin: int, length: int) -> None:
        """A message outside chunks, with those before it."""
        channel, _, log_time = read_message(memoryview(self._read(begin, min(length, MESSAGE_HEAD_BYTES))))
        self._counts[channel] += 1
        end = begin + length
        last = self._refs[-1] if self._refs else None
        if (
            last is not None
            and not last.is_chunk
            and last.offset + last.length == at
            and end - last.offset <= _RUN_BYTES
        ):
            self._refs[-1] = last._replace(
                start_ns=min(last.start_ns, log_time),
                length=end - last.offset,
                channels=last.channels | {channel},
            )
        else:
            self._refs.append(_Ref(log_time, at, end - at, frozenset((channel,)), False))

    def _take_rest(self, begin: int) -> None:
        """Of a chunk that the file does not hold whole, what is in front, where it is not compressed."""
        try:
            head = ChunkHead.read(self._read(begin, _HEAD_BYTES))
        except DamagedRecordError:
            return
        if head.compression:
            return
        offset, channels = begin + head.data_at, set()
        try:
            for kind, data in records_in(memoryview(self._read(offset, self._size - offset))):
                self._learn(kind, data)
                if kind == Op.MESSAGE:
                    channel, _, _ = read_message(data)
                    channels.add(channel)
                    self._counts[channel] += 1
        except DamagedRecordError:
            pass
        if channels:
            self._refs.append(_Ref(head.start_ns, offset, self._size - offset, frozenset(channels), False))

    def _messages(self, ref: _Ref, wanted: set[int]) -> Iterator[LogMessage]:
        """Those of the `wanted` channels, ordered by time; one without data where the chunk is damaged."""
        found: list[LogMessage] = []
        records = memoryview(self._read(ref.offset, ref.length))
        damage = ""
        try:
            if ref.is_chunk:
                records = chunk_records(records)
            for kind, data in records_in(records):
                if kind == Op.MESSAGE:
                    channel, sequence, log_time = read_message(data)
                    if channel in wanted:
                        found.append(
                            self._message(channel, log_time, sequence, bytes(data[MESSAGE_HEAD_BYTES:]))
                        )
        except DamagedRecordError as error:
            damage = f"{error}, at byte {ref.offset} of '{self._path.name}'"
        found.sort(key=lambda message: message.log_time_ns)
        yield from found
        if damage and wanted:
            last = found[-1].log_time_ns if found else ref.start_ns
            yield self._message(min(wanted), last, 0, None)._replace(damage=damage)

    def _message(self, channel: int, log_time: int, sequence: int, data: bytes | None) -> LogMessage:
        known = self._channels[channel]
        return LogMessage(
            known.topic, self._schemas.get(known.schema, ""), known.encoding, log_time, sequence, data
        )
