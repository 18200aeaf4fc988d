"""Looking through an MCAP file that has no index, or was cut short."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

from tdnet_runtime.sources.file_bytes import FileBytes
from tdnet_runtime.sources.mcap_contents import McapContents, MessagePlace
from tdnet_runtime.sources.mcap_records import (
    MAGIC,
    MESSAGE_HEAD_BYTES,
    RECORD_HEAD,
    ChunkHead,
    DamagedRecordError,
    Op,
    chunk_records,
    read_message,
    read_message_index,
    records_in,
)
from tdnet_runtime.sources.mcap_salvage import chunk_front, next_chunk

__all__ = ["McapScan"]

_RUN_BYTES = 1 << 20  # of messages outside chunks that are read together
_CHUNK_HEAD_BYTES = 64  # of a chunk, in which its own head lies
_INDEX_HEAD_BYTES = 6
_LAST = {Op.DATA_END: 4, Op.FOOTER: 20}  # their lengths
_KNOWN = range(1, 16)
_MOST_TOLD = 4


class McapScan:
    """Goes through a file once, without unpacking what it need not; behind a damaged record, from the next chunk on.

    A chunk is looked into where the message index behind it is absent or names a channel that is not known yet.

    Args:
        file: an MCAP file.

    Attributes:
        contents: what it holds; `cut` says where it ends before its time, or is damaged.

    Raises:
        MediaError: the file cannot be read.
        MissingExtraError: a chunk has to be looked into, and the package that unpacks it is missing.
    """

    def __init__(self, file: FileBytes) -> None:
        self._file = file
        self.contents = McapContents()
        self._index: dict[int, int] = {}  # behind the last chunk: messages by channel
        at, kind, before = len(MAGIC), 0, len(MAGIC)
        while at < file.size and kind not in _LAST:
            head = file.read(at, RECORD_HEAD.size)
            kind, length = RECORD_HEAD.unpack(head) if len(head) == RECORD_HEAD.size else (0, 0)
            begin = at + RECORD_HEAD.size
            damage = None
            if not self._plausible(at) or not (kind in _KNOWN or self._plausible(begin + length)):
                damage = f"cut short or damaged from byte {at} of {file.size} on"
            else:
                try:
                    self._take(kind, begin, length)
                except DamagedRecordError as error:
                    damage = f"damaged at byte {at} of {file.size} ({error})"
            if damage is None:
                before, at = at, begin + length
                continue
            following = next_chunk(file, before + 1)  # whose length may be what is wrong
            self._end(
                damage if following is None else f"damaged between bytes {at} and {following} of {file.size}"
            )
            if kind == Op.CHUNK:
                self._take_rest(begin, file.size if following is None else following)
            if following is None:
                return
            before, at, kind = following, following, 0
        if kind not in _LAST:
            self._end(f"it was never ended; its {file.size} bytes are whole")
            return
        self._settle()
        if file.read(file.size - len(MAGIC), len(MAGIC)) != MAGIC:
            self._tell("cut short in its index; all its messages are there")

    def _plausible(self, at: int) -> bool:
        """A record that the file holds whole may begin there, or the file ends there."""
        head = self._file.read(at, RECORD_HEAD.size)
        if len(head) < RECORD_HEAD.size:
            return at == self._file.size
        kind, length = RECORD_HEAD.unpack(head)
        fits = at + RECORD_HEAD.size + length <= self._file.size and length == _LAST.get(kind, length)
        return bool(kind > 0 and fits)

    def _end(self, cut: str) -> None:
        self._index = {}  # which may be whole or not
        self._settle()
        self._tell(cut)

    def _tell(self, cut: str) -> None:
        told = self.contents.cut
        if told is None:
            self.contents.cut = cut
        elif cut not in told and told.count("; ") < _MOST_TOLD:
            self.contents.cut = f"{told}; {cut}"

    def _take(self, kind: int, begin: int, length: int) -> None:
        """Take note of one record, which is whole."""
        if kind == Op.MESSAGE_INDEX:
            channel, number = read_message_index(self._file.read(begin, min(length, _INDEX_HEAD_BYTES)))
            self._index[channel] = number
            return
        self._settle()
        if kind == Op.CHUNK:
            chunk = ChunkHead.read(self._file.read(begin, min(length, _CHUNK_HEAD_BYTES)))
            self.contents.places.append(MessagePlace(chunk.start_ns, begin, length, frozenset(), True))
        elif kind == Op.MESSAGE:
            self._extend_run(begin, length)
        elif kind in (Op.SCHEMA, Op.CHANNEL):
            self.contents.learn(kind, memoryview(self._file.read(begin, length)))

    def _settle(self) -> None:
        """Complete the entry of the last chunk by the index behind it, or by looking into it."""
        index, self._index = self._index, {}
        places = self.contents.places
        if not places or not places[-1].is_chunk or places[-1].channels:
            return
        place = places[-1]
        if not index or not index.keys() <= self.contents.channels.keys():
            record = memoryview(self._file.read(place.offset, place.length))
            try:
                index = self._look_into(chunk_records(record))
            except DamagedRecordError as error:
                # Most logs name their channels in the first chunk alone, and damage is mostly in the pictures.
                self._look_into(chunk_front(record))
                index = index if index.keys() <= self.contents.channels.keys() else {}
                self._tell(f"damaged at byte {place.offset} of {self._file.size} ({error})")
        self.contents.counts.update(index)
        places[-1] = place._replace(channels=frozenset(index))

    def _look_into(self, records: memoryview) -> dict[int, int]:
        """Messages by channel of records, whose channels are noted; as far as they are whole."""
        found: Counter[int] = Counter()
        with suppress(DamagedRecordError):
            for kind, data in records_in(records):
                self.contents.learn(kind, data)
                if kind == Op.MESSAGE:
                    found[read_message(data)[0]] += 1
        return found

    def _extend_run(self, begin: int, length: int) -> None:
        """A message outside chunks, with those before it."""
        at, end = begin - RECORD_HEAD.size, begin + length
        head = self._file.read(begin, min(length, MESSAGE_HEAD_BYTES))
        channel, _, log_time = read_message(memoryview(head))
        self.contents.counts[channel] += 1
        places = self.contents.places
        last = places[-1] if places else None
        if (
            last is not None
            and not last.is_chunk
            and last.offset + last.length == at
            and end - last.offset <= _RUN_BYTES
        ):
            places[-1] = last._replace(
                start_ns=min(last.start_ns, log_time),
                length=end - last.offset,
                channels=last.channels | {channel},
            )
        else:
            places.append(MessagePlace(log_time, at, end - at, frozenset((channel,)), False))

    def _take_rest(self, begin: int, end: int) -> None:
        """Of a chunk that the file does not hold whole, what is in front, where it is not compressed."""
        with suppress(DamagedRecordError):
            head = ChunkHead.read(self._file.read(begin, _CHUNK_HEAD_BYTES))
            if head.is_compressed:
                return
            offset = begin + head.data_at
            length = max(0, end - offset)
            found = self._look_into(memoryview(self._file.read(offset, length)))
            if found:
                self.contents.counts.update(found)
                self.contents.places.append(
                    MessagePlace(head.start_ns, offset, length, frozenset(found), False)
                )
