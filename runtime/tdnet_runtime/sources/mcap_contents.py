"""What an MCAP file holds, and where."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from tdnet_runtime.sources.mcap_records import Channel, Op, read_schema

__all__ = ["McapContents", "MessagePlace"]


class MessagePlace(NamedTuple):
    """Where messages are: a chunk's content, or a run of records outside chunks.

    Attributes:
        start_ns: the time of the first one, or before.
        offset: of the first byte.
        length: in bytes.
        channels: in it; empty where that is not known.
        is_chunk: see above.
    """

    start_ns: int
    offset: int
    length: int
    channels: frozenset[int]
    is_chunk: bool


@dataclass(slots=True)
class McapContents:
    """A file's channels and the places of their messages.

    Attributes:
        schemas: names by number.
        channels: by number.
        counts: messages by channel; empty where the file does not say.
        places: in the file's order.
        cut: why the file is not whole, in a few words; None where it is.
    """

    schemas: dict[int, str] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    counts: Counter[int] = field(default_factory=Counter)
    places: list[MessagePlace] = field(default_factory=list)
    cut: str | None = None

    def learn(self, kind: int, data: memoryview) -> None:
        """Take note of a schema or channel; any other record is passed over.

        Raises:
            DamagedRecordError: it does not hold what it claims.
        """
        if kind == Op.SCHEMA:
            identity, name = read_schema(bytes(data))
            self.schemas.setdefault(identity, name)
        elif kind == Op.CHANNEL:
            channel = Channel.read(bytes(data))
            self.channels.setdefault(channel.id, channel)

    def type_of(self, channel: int) -> str:
        """The name of a channel's schema; empty without one."""
        return self.schemas.get(self.channels[channel].schema, "")
