"""The names that rmw_zenoh gives things, and what it attaches to messages (its docs/design.md).

>>> topic_key(0, "/camera/image_raw", "sensor_msgs::msg::dds_::Image_", "RIHS01_d31d")
'0/camera/image_raw/sensor_msgs::msg::dds_::Image_/RIHS01_d31d'
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from tdnet_runtime.ros.types import ros_name
from tdnet_runtime.transports.node import Topic

__all__ = [
    "Attachment",
    "node_token",
    "published_topic",
    "publishers_key",
    "qos_text",
    "topic_key",
    "topic_token",
]

_ROOT = "@ros2_lv"
_EMPTY = "%"  # of an enclave or namespace
_GID_BYTES = 16
_PLAIN = struct.Struct(f"<qqB{_GID_BYTES}s")
_LABELS = (b"sequence_number", b"source_timestamp", b"source_gid")  # of Jazzy 0.2.0 to 0.2.3
_TOKEN_PARTS = 13
_BEST_EFFORT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """What rmw_zenoh needs with each message.

    Attributes:
        number: of the sender's messages, from 1.
        time_ns: of sending, since 1970.
        sender: 16 bytes that are the sender's own.
    """

    number: int
    time_ns: int
    sender: bytes

    def to_bytes(self) -> bytes:
        """The 33 bytes of Jazzy 0.2.4, Kilted and later."""
        return _PLAIN.pack(self.number, self.time_ns, _GID_BYTES, self.sender)

    @classmethod
    def from_bytes(cls, data: bytes) -> Attachment | None:
        """Read that form, or the older one of 77 bytes; None for any other."""
        if len(data) != _PLAIN.size:
            parts = []
            for label, size in zip(_LABELS, (8, 8, 1 + _GID_BYTES), strict=True):
                head = bytes((len(label),)) + label
                if not data.startswith(head) or len(data) < len(head) + size:
                    return None
                parts.append(data[len(head) : len(head) + size])
                data = data[len(head) + size :]
            if data:
                return None
            data = b"".join(parts)
        number, time_ns, size, sender = _PLAIN.unpack(data)
        return cls(number=number, time_ns=time_ns, sender=sender) if size == _GID_BYTES else None


def topic_key(domain: int, topic: str, dds_type: str, type_hash: str) -> str:
    """On which a topic's messages go; `*` for a type or hash of any kind."""
    return f"{domain}/{topic.strip('/')}/{dds_type}/{type_hash}"


def node_token(domain: int, session: str, name: str) -> str:
    """The liveliness token of a node, its number being 0."""
    return f"{_ROOT}/{domain}/{session}/0/0/NN/{_EMPTY}/{_EMPTY}/{name}"


def topic_token(
    domain: int,
    session: str,
    name: str,
    *,
    entity: int,
    publishes: bool,
    topic: str,
    dds_type: str,
    type_hash: str,
    qos: str,
) -> str:
    """The liveliness token of one of the node's publishers or subscriptions, by which `ros2 topic list` sees it.

    Args:
        domain: of the graph.
        session: Zenoh's id.
        name: the node's.
        entity: its number among all of the node.
        publishes: whether it is a publisher.
        topic: such as `/camera/image_raw`.
        dds_type: its type's name on the wire.
        type_hash: of the type.
        qos: see `qos_text`.
    """
    kind = "MP" if publishes else "MS"
    mangled = topic.replace("/", "%")
    return f"{_ROOT}/{domain}/{session}/0/{entity}/{kind}/{_EMPTY}/{_EMPTY}/{name}/{mangled}/{dds_type}/{type_hash}/{qos}"


def qos_text(*, reliable: bool, latched: bool, depth: int) -> str:
    """Quality of service as tokens spell it: what is ROS's default is left out.

    >>> qos_text(reliable=False, latched=False, depth=5)
    '2::,5:,:,:,,'
    """
    return f"{'' if reliable else _BEST_EFFORT}:{1 if latched else ''}:,{depth}:,:,:,,"


def publishers_key(domain: int) -> str:
    """Matches the tokens of all publishers."""
    return f"{_ROOT}/{domain}/*/*/*/MP/**"


def published_topic(token: str) -> Topic | None:
    """The topic of a publisher's token; None of any other key."""
    parts = token.split("/")
    if len(parts) != _TOKEN_PARTS or parts[0] != _ROOT or parts[5] != "MP":
        return None
    reliable = not parts[12].startswith(f"{_BEST_EFFORT}:")
    return Topic(name=parts[9].replace("%", "/"), type_name=ros_name(parts[10]), reliable=reliable)
