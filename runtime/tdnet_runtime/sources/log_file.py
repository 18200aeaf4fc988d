"""What a log is, whatever its format: topics, and blocks of messages that are merged by their time."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple, Protocol

from tdnet_runtime.errors import MediaError

__all__ = ["Block", "DamagedLogError", "LogFile", "LogMessage", "LogTopic", "in_time_order"]


class DamagedLogError(MediaError):
    """Nothing can be read of a file: it is damaged, cut short before its first message, or no log at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogTopic:
    """One topic of a log.

    Attributes:
        name: as recorded, with or without a leading slash.
        type: the schema's name, such as `sensor_msgs/msg/Image`; empty where the log does not say.
        encoding: of its messages, such as `cdr`.
        count: of messages; None where the log does not say.
    """

    name: str
    type: str
    encoding: str
    count: int | None = None


class LogMessage(NamedTuple):
    """One message.

    Attributes:
        topic: its name.
        type: see `LogTopic`.
        encoding: see `LogTopic`.
        log_time_ns: when it was recorded.
        sequence: by its sender; 0 throughout where nobody counts.
        data: its bytes; None where one or more are lost.
        damage: why they are lost.
    """

    topic: str
    type: str
    encoding: str
    log_time_ns: int
    sequence: int
    data: bytes | None
    damage: str = ""


class Block(NamedTuple):
    """Messages that are read together.

    Attributes:
        start_ns: time of the first one, or before.
        read: reads and gives them, ordered by `log_time_ns`.
    """

    start_ns: int
    read: Callable[[], Iterator[LogMessage]]


class LogFile(Protocol):
    """One file of a log."""

    @property
    def topics(self) -> list[LogTopic]:
        """Those that are known, in the file's order."""

    @property
    def cut(self) -> str | None:
        """Why it is not whole, in a few words; None where it is, as far as was read."""

    @property
    def reader(self) -> str:
        """What reads it, with a version."""

    def blocks(self, topic: str) -> list[Block]:
        """Where the messages of one topic are.

        Raises:
            MediaError: by reading a block, where its messages cannot be read at all.
        """

    def close(self) -> None:
        """Close the file."""


def in_time_order(blocks: Iterable[Block]) -> Iterator[LogMessage]:
    """The messages of all blocks, in the order of their times; equal times in the blocks' order.

    A block is read when its time has come, so that as much is held at a time as overlaps.
    """
    waiting = deque(sorted(blocks, key=lambda block: block.start_ns))
    numbers = count()
    heap: list[
        tuple[int, int, LogMessage, Iterator[LogMessage]]
    ] = []  # the next message of each block that is read
    while waiting or heap:
        if waiting and (not heap or waiting[0].start_ns <= heap[0][0]):
            rest = waiting.popleft().read()
            first = next(rest, None)
            if first is not None:
                heapq.heappush(heap, (first.log_time_ns, next(numbers), first, rest))
            continue
        _, number, message, rest = heap[0]
        yield message
        following = next(rest, None)
        if following is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (following.log_time_ns, number, following, rest))
