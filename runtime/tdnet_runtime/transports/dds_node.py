"""Topics of DDS (Fast DDS, Cyclone DDS), by Cyclone DDS."""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import MediaError
from tdnet_runtime.forks import ForkBound
from tdnet_runtime.ros.types import MessageType, ros_name
from tdnet_runtime.transports.dds_config import receive_buffer_warning
from tdnet_runtime.transports.dds_domains import enter, leave
from tdnet_runtime.transports.dds_endpoints import DdsReader, DdsWriter
from tdnet_runtime.transports.dds_library import (
    PUBLICATIONS,
    Endpoint,
    SampleInfo,
    check,
    heard,
    library,
)
from tdnet_runtime.transports.dds_types import descriptor_of
from tdnet_runtime.transports.node import Topic

__all__ = ["DdsNode"]

_BEST_EFFORT, _RELIABLE = 0, 1
_VOLATILE, _TRANSIENT_LOCAL = 0, 1
_KEEP_LAST = 0
_UNLIMITED = -1
_ALIVE = 16
_BLOCK_NS = 100_000_000
_WRITER_DEPTH = 5
_MOST_ENDPOINTS = 1024
_PREFIX = "rt/"  # of topics, among all that ROS 2 sends


class DdsNode(Closeable, ForkBound):
    """A participant of a domain: on the loopback alone, unless an interface or CYCLONEDDS_URI says otherwise.

    Args:
        domain: ROS_DOMAIN_ID.
        interface: name or address; empty for the loopback.
        datagram_bytes: largest datagram of what is published; None for the library's own.

    Raises:
        MediaError: the library refuses the interface or CYCLONEDDS_URI, or a socket.
        OptionError: this process is in the domain already, with other settings.
    """

    fork_error = MediaError

    def __init__(self, *, domain: int, interface: str = "", datagram_bytes: int | None = None) -> None:
        self._library = library()
        where = f"on {interface}" if interface else "on the loopback or as CYCLONEDDS_URI says"
        self.description = f"cyclonedds {version('cyclonedds')} {where}, domain {domain}"
        self.warning = receive_buffer_warning()
        self._number = domain
        self._topics: dict[tuple[str, str], int] = {}
        self._writers: list[DdsWriter] = []
        self._lock = threading.Lock()
        self._closed = False
        enter(domain, (interface, datagram_bytes))
        try:
            doing = f"joining domain {domain}"
            with heard() as words:
                entity = self._library.dds_create_participant(domain, None, None)
            self._entity = check(entity, doing, words)
            with contextlib.ExitStack() as undo:
                undo.callback(self._library.dds_delete, self._entity)
                self._guid = (ctypes.c_uint8 * 16)()
                check(self._library.dds_get_guid(self._entity, self._guid), doing)
                self._publications = check(
                    self._library.dds_create_reader(self._entity, PUBLICATIONS, None, None), doing
                )
                undo.pop_all()
        except BaseException:
            leave(domain)
            raise

    def topics(self) -> tuple[Topic, ...]:
        """See `Node`."""
        self.require_own_process("topics()")
        samples = (ctypes.c_void_p * _MOST_ENDPOINTS)()
        infos = (SampleInfo * _MOST_ENDPOINTS)()
        count = check(
            self._library.dds_read(self._publications, samples, infos, _MOST_ENDPOINTS, _MOST_ENDPOINTS),
            "listing topics",
        )
        found, reliability = [], ctypes.c_int()
        try:
            for place, info in zip(samples[:count], infos[:count], strict=True):
                if place and info.valid_data and info.instance_state == _ALIVE:
                    endpoint = Endpoint.from_address(place)
                    name = (endpoint.topic_name or b"").decode(errors="replace")
                    if name.startswith(_PREFIX) and bytes(endpoint.participant_key) != bytes(self._guid):
                        self._library.dds_qget_reliability(endpoint.qos, ctypes.byref(reliability), None)
                        found.append(
                            Topic(
                                name=name[len(_PREFIX) - 1 :],
                                type_name=ros_name((endpoint.type_name or b"").decode(errors="replace")),
                                reliable=reliability.value == _RELIABLE,
                            )
                        )
        finally:
            if count:
                self._library.dds_return_loan(self._publications, samples, count)
        return Topic.merged(found)

    def reader(
        self, topic: str, kind: MessageType, *, reliable: bool = False, latched: bool = False
    ) -> DdsReader:
        """See `Node`."""
        self.require_own_process("reader()")
        with self._qos(kind, reliable=reliable or latched, latched=latched, depth=1) as qos:
            entity = self._library.dds_create_reader(self._entity, self._topic(topic, kind), qos, None)
        return DdsReader(self._library, self._entity, check(entity, f"subscribing to {topic}"), topic)

    def writer(
        self, topic: str, kind: MessageType, *, reliable: bool = True, latched: bool = False
    ) -> DdsWriter:
        """See `Node`."""
        self.require_own_process("writer()")
        depth = 1 if latched else _WRITER_DEPTH
        with self._qos(kind, reliable=reliable, latched=latched, depth=depth) as qos:
            entity = self._library.dds_create_writer(self._entity, self._topic(topic, kind), qos, None)
        writer = DdsWriter(self._library, check(entity, f"publishing {topic}"), topic)
        with self._lock:
            self._writers.append(writer)
        return writer

    def close(self) -> None:
        """See `Node`."""
        if self.stranded:
            return
        with self._lock:
            closed, self._closed = self._closed, True
        if not closed:
            for writer in self._writers:
                writer.close()
            self._library.dds_delete(self._entity)  # and all that was made of it
            leave(self._number)

    def _topic(self, name: str, kind: MessageType) -> int:
        """The topic's entity, made once."""
        key = name, kind.dds_name
        with self._lock:
            if self._closed:
                raise MediaError(f"using {name}: the node was closed")
            if key not in self._topics:
                descriptor = descriptor_of(kind)
                made = self._library.dds_create_topic(
                    self._entity,
                    ctypes.byref(descriptor),
                    (_PREFIX + name.lstrip("/")).encode(),
                    None,
                    None,
                )
                self._topics[key] = check(made, f"using {name} with {kind.name}")
            return self._topics[key]

    @contextlib.contextmanager
    def _qos(self, kind: MessageType, *, reliable: bool, latched: bool, depth: int) -> Iterator[Any]:
        """As rmw_cyclonedds sets it."""
        dds = self._library
        qos = dds.dds_create_qos()
        try:
            dds.dds_qset_reliability(qos, _RELIABLE if reliable else _BEST_EFFORT, _BLOCK_NS)
            dds.dds_qset_history(qos, _KEEP_LAST, depth)
            dds.dds_qset_durability(qos, _TRANSIENT_LOCAL if latched else _VOLATILE)
            if latched:
                dds.dds_qset_durability_service(qos, 0, _KEEP_LAST, depth, _UNLIMITED, _UNLIMITED, _UNLIMITED)
            dds.dds_qset_writer_data_lifecycle(qos, False)
            data = f"typehash={kind.type_hash};".encode()
            dds.dds_qset_userdata(qos, data, len(data))
            yield qos
        finally:
            dds.dds_delete_qos(qos)
