"""Reading an MCAP file, whole or cut short, with its index or without."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import tdnet_runtime
from tdnet_runtime.closeable import Closeable
from tdnet_runtime.sources.file_bytes import FileBytes
from tdnet_runtime.sources.log_file import Block, DamagedLogError, LogMessage, LogTopic
from tdnet_runtime.sources.mcap_contents import McapContents, MessagePlace
from tdnet_runtime.sources.mcap_index import indexed
from tdnet_runtime.sources.mcap_records import (
    MAGIC,
    MESSAGE_HEAD_BYTES,
    DamagedRecordError,
    Op,
    chunk_records,
    read_message,
    records_in,
)
from tdnet_runtime.sources.mcap_scan import McapScan

__all__ = ["McapFile"]


class McapFile(Closeable):
    """See `LogFile`. Messages are found by the index at the file's end, or by looking through the file once.

    Whatever is whole is read: of a file that was cut short all chunks but the last, and of that one the messages in
    front where it is not compressed. A chunk in the midst that is damaged comes as one message without data.

    Args:
        path: of the file.

    Raises:
        MediaError: it cannot be read, or is no MCAP.
    """

    def __init__(self, path: Path) -> None:
        self._name = path.name
        self.reader = f"tdnet-deploy {tdnet_runtime.__version__} (MCAP)"
        self._file = FileBytes(path)
        try:
            if self._file.read(0, len(MAGIC)) != MAGIC:
                raise DamagedLogError(f"opening the log: it does not begin as an MCAP file does: '{path}'")
            self._contents: McapContents = indexed(self._file) or McapScan(self._file).contents
        except BaseException:
            self.close()
            raise

    @property
    def cut(self) -> str | None:
        """See `LogFile`."""
        return self._contents.cut

    @property
    def topics(self) -> list[LogTopic]:
        """See `LogFile`."""
        contents = self._contents
        found: dict[tuple[str, str, str], int] = {}
        for channel in contents.channels.values():
            key = channel.topic, contents.type_of(channel.id), channel.encoding
            found[key] = found.get(key, 0) + contents.counts[channel.id]
        counted = bool(contents.counts)
        return [
            LogTopic(name=name, type=kind, encoding=encoding, count=number if counted else None)
            for (name, kind, encoding), number in found.items()
        ]

    def blocks(self, topic: str) -> list[Block]:
        """See `LogFile`."""
        wanted = {channel.id for channel in self._contents.channels.values() if channel.topic == topic}
        return [
            Block(place.start_ns, partial(self._messages, place, wanted))
            for place in self._contents.places
            if not place.channels or wanted & place.channels
        ]

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        self._file.close()

    def _messages(self, place: MessagePlace, wanted: set[int]) -> Iterator[LogMessage]:
        """Those of the `wanted` channels, ordered by time; one without data where the chunk is damaged."""
        found: list[LogMessage] = []
        records = memoryview(self._file.read(place.offset, place.length))
        damage = ""
        try:
            if place.is_chunk:
                records = chunk_records(records)
            for kind, data in records_in(records):
                if kind == Op.MESSAGE:
                    channel, sequence, log_time = read_message(data)
                    if channel in wanted:
                        content = bytes(data[MESSAGE_HEAD_BYTES:])
                        found.append(self._message(channel, log_time, sequence, content))
        except DamagedRecordError as error:
            damage = f"{error}, at byte {place.offset} of '{self._name}'"
        found.sort(key=lambda message: message.log_time_ns)
        yield from found
        if damage and wanted:
            last = found[-1].log_time_ns if found else place.start_ns
            yield self._message(min(wanted), last, 0, None)._replace(damage=damage)

    def _message(self, channel: int, log_time: int, sequence: int, data: bytes | None) -> LogMessage:
        known = self._contents.channels[channel]
        return LogMessage(
            known.topic, self._contents.type_of(channel), known.encoding, log_time, sequence, data
        )
