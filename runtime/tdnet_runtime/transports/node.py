"""What a transport of ROS 2 is, whichever carries it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tdnet_runtime.ros.types import MessageType

__all__ = ["Arrival", "Node", "Reader", "Topic", "Writer"]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Topic:
    """Something that others publish.

    Attributes:
        name: such as `/camera/image_raw`.
        type_name: such as `sensor_msgs/msg/Image`.
        reliable: all who publish it send again what was lost, for readers that ask for it.
    """

    name: str
    type_name: str
    reliable: bool = True

    @classmethod
    def merged(cls, publishers: Iterable[Topic]) -> tuple[Topic, ...]:
        """One for each name and type, sorted, of one for each publisher."""
        found: dict[tuple[str, str], bool] = {}
        for each in publishers:
            key = each.name, each.type_name
            found[key] = each.reliable and found.get(key, True)
        return tuple(
            cls(name=name, type_name=kind, reliable=found[name, kind]) for name, kind in sorted(found)
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arrival:
    """One message that came.

    Attributes:
        data: uint8 [N], CDR with its header bytes; the receiver's own.
        arrival_ns: `time.monotonic_ns()` when it came.
        lost_before: messages of the same sender between this one and the last one read: lost on the way, or replaced by
            newer ones before they were read. None: this transport does not number messages.
    """

    data: npt.NDArray[np.uint8]
    arrival_ns: int
    lost_before: int | None


class Reader(Protocol):
    """Holds the newest message of a topic; older ones that nobody read are gone."""

    def read(self, timeout_s: float) -> Arrival | None:
        """The newest message that was not read, waited for at most so long; None where none came.

        For one thread at a time.

        Raises:
            MediaError: the transport failed, or was closed.
        """

    def close(self) -> None:
        """Leave the topic. Safe to call twice."""


class Writer(Protocol):
    """Publishes messages on one topic; never waits for readers longer than a tenth of a second."""

    @property
    def matched(self) -> bool:
        """Somebody reads the topic."""

    def write(self, message: bytes) -> bool:
        """Publish one message, CDR with its header bytes.

        Returns:
            False where it was dropped, since a reader that asked for reliability does not keep up.

        Raises:
            MediaError: the transport failed, or was closed.
        """

    def close(self) -> None:
        """Leave the topic. Safe to call twice."""


class Node(AbstractContextManager["Node"], Protocol):
    """A participant of the ROS graph. Its methods may be called from any thread; closing it closes what it made."""

    @property
    def description(self) -> str:
        """Transport, version and where it looks, in a few words."""

    @property
    def warning(self) -> str:
        """What will go wrong on this machine, with the fix; empty where nothing is known."""

    def topics(self) -> tuple[Topic, ...]:
        """What others publish, as far as it has been discovered by now; sorted.

        Raises:
            MediaError: the transport failed.
        """

    def reader(
        self, topic: str, kind: MessageType, *, reliable: bool = False, latched: bool = False
    ) -> Reader:
        """Read a topic.

        Args:
            topic: such as `/camera/image_raw`.
            kind: of its messages.
            reliable: ask for lost messages again; of DDS's writers only reliable ones match then, without it all do.
            latched: be given the last message that was published before; from latched, reliable writers alone.

        Raises:
            MediaError: the transport refuses it.
        """

    def writer(
        self, topic: str, kind: MessageType, *, reliable: bool = True, latched: bool = False
    ) -> Writer:
        """Publish a topic.

        Args:
            topic: such as `/segmentation/mask`.
            kind: of its messages.
            reliable: readers may ask for reliability; those that ask for best effort are served as well.
            latched: who comes later is given the last message (durability transient local).

        Raises:
            MediaError: the transport refuses it.
        """

    def close(self) -> None:
        """Leave the graph. Safe to call twice; nothing in a forked child, where a node's other methods raise MediaError."""
