"""Topics of rmw_zenoh, through its router."""

from __future__ import annotations

import contextlib
import json
import threading
from importlib.metadata import version
from typing import Any

import zenoh
import zenoh.ext

from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import MediaError
from tdnet_runtime.forks import ForkBound
from tdnet_runtime.ros.types import MessageType
from tdnet_runtime.transports.node import Topic
from tdnet_runtime.transports.zenoh_endpoints import ZenohReader, ZenohWriter
from tdnet_runtime.transports.zenoh_errors import failing, words
from tdnet_runtime.transports.zenoh_keys import (
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
_DEPTH = 5


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
                f"no Zenoh router answers at {router} ({words(error)}); start it (ros2 run rmw_zenoh_cpp "
                "rmw_zenohd), name another one by router=, or say rmw=dds where the robot has DDS"
            ) from error
        self._zid = str(self._session.zid())
        self._declare_token(node_token(domain, self._zid, NODE_NAME))

    def topics(self) -> tuple[Topic, ...]:
        """See `Node`."""
        self.require_own_process("topics()")
        found = []
        with failing("listing topics"):
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
        with failing(f"subscribing to {topic}"):
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
        with failing(f"publishing {topic}"):
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
            raise MediaError(f"connecting to {router!r}: Zenoh refuses {key} ({words(error)})") from error
    return config


def _qos(*, reliable: bool, latched: bool) -> str:
    return qos_text(reliable=reliable, latched=latched, depth=1 if latched else _DEPTH)
