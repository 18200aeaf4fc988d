"""Topics of rmw_zenoh, through its router."""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
import time
from importlib.metadata import version
from typing import Any

import numpy as np
import zenoh
import zenoh.ext

from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import MediaError
from tdnet_runtime.forks import ForkBound
from tdnet_runtime.ros.types import MessageType
from tdnet_runtime.transports.losses import SequenceGaps
from tdnet_runtime.transports.node import Arrival, Topic
from tdnet_runtime.transports.zenoh_keys import (
    Attachment,
    node_token,
    published_topic,
    publishers_key,
    qos_text,
    topic_key,
    topic_token,
)

__all__ = ["NODE_NAME", "ZenohNode"]

NODE_NAME = "tdnet_run"
_CONNECT_MS = 3000
_DISCOVERY_S = 2.0
_POLL_S = 0.001
_DEPTH = 5
_WHERE = re.compile(r"\.? at /\S+$")  # in its source


class ZenohNode(Closeable, ForkBound):
    """A client of a Zenoh router, which carries all messages. When the router goes and comes back, so does the node.

    No multicast, no listening port, no shared memory.

    Args:
        domain: ROS_DOMAIN_ID.
        router: endpoint, such as `tcp/localhost:7447`.

    Raises:
        MediaError: no router answers there within three seconds.
    """

    fork_error = MediaError
    warning = ""

    def __init__(self, *, domain: int, router: str) -> None:
        self.description = f"eclipse-zenoh {version('eclipse-zenoh')} by {router}, domain {domain}"
        self._domain = domain
        self._entities = 0
        self._lock = threading.Lock()
        self._closing: list[ZenohReader | ZenohWriter] = []
        try:
            self._session: Any = zenoh.open(_config(router))
        except zenoh.ZError as error:
            raise MediaError(
                f"no Zenoh router answers at {router} ({_words(error)}); start it (ros2 run rmw_zenoh_cpp "
                "rmw_zenohd), name another one by router=, or say rmw=dds where the robot has DDS"
            ) from error
        self._zid = str(self._session.zid())
        self._declare_token(node_token(domain, self._zid, NODE_NAME))

    def topics(self) -> tuple[Topic, ...]:
        """See `Node`."""
        self.require_own_process("topics()")
        found = []
        with _failing("listing topics"):
            for reply in self._session.liveliness().get(publishers_key(self._domain), timeout=_DISCOVERY_S):
                token = "" if reply.ok is None else str(reply.ok.key_expr)
                topic = published_topic(token)
                if topic is not None and f"/{self._zid}/" not in token:  # our own
                    found.append(topic)
        return Topic.merged(found)

    def reader(
        self, topic: str, kind: MessageType, *, reliable: bool = False, latched: bool = False
    ) -> ZenohReader:
        """See `Node`. Whatever hash the sender has: Humble sends none."""
        self.require_own_process("reader()")
        with _failing(f"subscribing to {topic}"):
            key = topic_key(self._domain, topic, kind.dds_name, "*")
            newest: Any = zenoh.handlers.RingChannel(1)
            if latched:
                history = zenoh.ext.HistoryConfig(detect_late_publishers=True, max_samples=1)
                subscriber: Any = zenoh.ext.declare_advanced_subscriber(
                    self._session, key, newest, history=history
                )
            else:
                subscriber = self._session.declare_subscriber(key, newest)
            token = self._topic_token(
                topic, kind, publishes=False, qos=_qos(reliable=reliable or latched, latched=latched)
            )
        reader = ZenohReader(subscriber, token, topic)
        self._keep(reader)
        return reader

    def writer(
        self, topic: str, kind: MessageType, *, reliable: bool = True, latched: bool = False
    ) -> ZenohWriter:
        """See `Node`."""
        self.require_own_process("writer()")
        with _failing(f"publishing {topic}"):
            key = topic_key(self._domain, topic, kind.dds_name, kind.type_hash)
            options: dict[str, Any] = {
                "encoding": zenoh.Encoding.APPLICATION_CDR,
                "congestion_control": zenoh.CongestionControl.DROP,
                "reliability": zenoh.Reliability.RELIABLE if reliable else zenoh.Reliability.BEST_EFFORT,
            }
            if latched:
                publisher: Any = zenoh.ext.declare_advanced_publisher(
                    self._session,
                    key,
                    cache=zenoh.ext.CacheConfig(max_samples=1),
                    publisher_detection=True,
                    **options,
                )
            else:
                publisher = self._session.declare_publisher(key, **options)
            token = self._topic_token(
                topic, kind, publishes=True, qos=_qos(reliable=reliable, latched=latched)
            )
        writer = ZenohWriter(publisher, token, topic)
        self._keep(writer)
        return writer

    def close(self) -> None:
        """See `Node`."""
        if self.stranded:
            return
        with self._lock:
            closing, self._closing = self._closing, []
        for each in closing:
            each.close()
        with contextlib.suppress(zenoh.ZError):
            self._session.close()

    def _keep(self, made: ZenohReader | ZenohWriter) -> None:
        """To be closed with the node."""
        with self._lock:
            self._closing.append(made)

    def _topic_token(self, topic: str, kind: MessageType, *, publishes: bool, qos: str) -> Any:
        with self._lock:
            self._entities += 1
            entity = self._entities
        token = topic_token(
            self._domain,
            self._zid,
            NODE_NAME,
            entity=entity,
            publishes=publishes,
            topic=topic,
            dds_type=kind.dds_name,
            type_hash=kind.type_hash,
            qos=qos,
        )
        return self._session.liveliness().declare_token(token)

    def _declare_token(self, token: str) -> None:
        self._node_token = self._session.liveliness().declare_token(token)


class ZenohReader:
    """See `Reader`. A ring of one message, looked into every millisecond.

    Neither of the other two ways ends well where a program ends without closing it (eclipse-zenoh 1.10.2): a thread inside
    `recv` aborts the process, and a callback keeps it from ending.
    """

    def __init__(self, subscriber: Any, token: Any, topic: str) -> None:
        self._subscriber = subscriber
        self._ring = subscriber.handler  # apart from the subscriber, which `close` must have for itself
        self._token = token
        self._doing = f"reading {topic}"
        self._gaps = SequenceGaps()

    def read(self, timeout_s: float) -> Arrival | None:
        """See `Reader`."""
        deadline_ns = time.monotonic_ns() + int(timeout_s * 1e9)
        with _failing(self._doing):
            while (sample := self._ring.try_recv()) is None:
                if time.monotonic_ns() >= deadline_ns:
                    return None
                time.sleep(_POLL_S)
        attached = None if sample.attachment is None else Attachment.from_bytes(sample.attachment.to_bytes())
        return Arrival(
            data=np.frombuffer(sample.payload.to_bytes(), dtype=np.uint8),
            arrival_ns=time.monotonic_ns(),
            lost_before=None if attached is None else self._gaps.before(attached.sender, attached.number),
        )

    def close(self) -> None:
        """See `Reader`."""
        for declared in (self._subscriber, self._token):
            with contextlib.suppress(zenoh.ZError):
                declared.undeclare()


class ZenohWriter:
    """See `Writer`."""

    def __init__(self, publisher: Any, token: Any, topic: str) -> None:
        self._publisher = publisher
        self._token = token
        self._topic = topic
        self._number = 0
        self._sender = os.urandom(16)

    @property
    def matched(self) -> bool:
        """See `Writer`."""
        with _failing(f"publishing {self._topic}"):
            return bool(self._publisher.matching_status.matching)

    def write(self, message: bytes) -> bool:
        """See `Writer`."""
        self._number += 1
        attachment = Attachment(number=self._number, time_ns=time.time_ns(), sender=self._sender)
        with _failing(f"publishing {self._topic}"):
            self._publisher.put(message, attachment=attachment.to_bytes())
        return True

    def close(self) -> None:
        """See `Writer`."""
        for declared in (self._token, self._publisher):
            with contextlib.suppress(zenoh.ZError):
                declared.undeclare()


def _config(router: str) -> Any:
    config = zenoh.Config()
    for key, value in (
        ("mode", '"client"'),
        ("connect/endpoints", json.dumps([router])),
        ("connect/timeout_ms", str(_CONNECT_MS)),
        ("listen/endpoints", "[]"),
        ("scouting/multicast/enabled", "false"),
        ("timestamping/enabled", "true"),  # without which there are no latched publishers
        ("transport/shared_memory/enabled", "false"),
    ):
        try:
            config.insert_json5(key, value)
        except zenoh.ZError as error:
            raise MediaError(f"connecting to {router!r}: Zenoh refuses {key} ({_words(error)})") from error
    return config


def _qos(*, reliable: bool, latched: bool) -> str:
    return qos_text(reliable=reliable, latched=latched, depth=1 if latched else _DEPTH)


class _failing(contextlib.AbstractContextManager[None]):  # noqa: N801 - reads as a statement
    """Zenoh's errors as ours."""

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, zenoh.ZError):
            raise MediaError(f"{self._doing}: {_words(error)}") from error


def _words(error: Exception) -> str:
    return _WHERE.sub("", str(error).partition("\n")[0])[:200]
