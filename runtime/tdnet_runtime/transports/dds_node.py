"""Topics of DDS (Fast DDS, Cyclone DDS), by Cyclone DDS."""

from __future__ import annotations

import contextlib
import ctypes
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np

from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import MediaError, OptionError
from tdnet_runtime.forks import ForkBound
from tdnet_runtime.ros.types import MessageType, ros_name
from tdnet_runtime.transports.dds_config import domain_config, receive_buffer_warning
from tdnet_runtime.transports.dds_library import (
    ANY_STATE,
    PUBLICATIONS,
    Endpoint,
    Iovec,
    SampleInfo,
    check,
    heard,
    library,
)
from tdnet_runtime.transports.dds_types import descriptor_of
from tdnet_runtime.transports.node import Arrival, Topic

__all__ = ["DdsNode"]

_BEST_EFFORT, _RELIABLE = 0, 1
_VOLATILE, _TRANSIENT_LOCAL = 0, 1
_KEEP_LAST = 0
_UNLIMITED = -1
_ALIVE = 16
_DATA = 2  # ddsi_serdata_kind
_TIMEOUT = -10
_BLOCK_NS = 100_000_000
_WRITER_DEPTH = 5
_MOST_ENDPOINTS = 1024
_PREFIX = "rt/"  # of topics, among all that ROS 2 sends


@dataclass
class _Domain:
    """One domain of this process, which Cyclone DDS allows once; nodes share it."""

    settings: tuple[str, int | None]
    entity: int
    users: int = 0


@dataclass
class _Domains:
    lock: threading.Lock = field(default_factory=threading.Lock)
    open: dict[int, _Domain] = field(default_factory=dict)


_domains = _Domains()


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
        _enter(domain, (interface, datagram_bytes))
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
            _leave(domain)
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
            _leave(self._number)

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


class DdsReader:
    """See `Reader`: depth 1, so that what is read is never older than the newest frame."""

    def __init__(self, dds: Any, participant: int, entity: int, topic: str) -> None:
        self._library = dds
        self._entity = entity
        self._doing = f"reading {topic}"
        self._waitset = check(dds.dds_create_waitset(participant), self._doing)
        condition = check(dds.dds_create_readcondition(entity, ANY_STATE), self._doing)
        check(dds.dds_waitset_attach(self._waitset, condition, 0), self._doing)

    def read(self, timeout_s: float) -> Arrival | None:
        """See `Reader`."""
        deadline_ns = time.monotonic_ns() + int(timeout_s * 1e9)
        taken, info = ctypes.c_void_p(), SampleInfo()
        while True:
            left_ns = max(deadline_ns - time.monotonic_ns(), 0)
            if check(self._library.dds_waitset_wait(self._waitset, None, 0, left_ns), self._doing) == 0:
                return None
            count = self._library.dds_takecdr(
                self._entity, ctypes.byref(taken), 1, ctypes.byref(info), ANY_STATE
            )
            arrival_ns = time.monotonic_ns()
            if check(count, self._doing) == 0:
                continue
            try:
                if not info.valid_data:  # a writer has gone
                    continue
                size = self._library.ddsi_serdata_size(taken)
                data = np.empty(size, dtype=np.uint8)
                self._library.ddsi_serdata_to_ser(taken, 0, size, data.ctypes.data)
            finally:
                self._library.ddsi_serdata_unref(taken)
            return Arrival(data=data, arrival_ns=arrival_ns, lost_before=None)

    def close(self) -> None:
        """See `Reader`."""
        self._library.dds_delete(self._waitset)
        self._library.dds_delete(self._entity)


class DdsWriter:
    """See `Writer`."""

    def __init__(self, dds: Any, entity: int, topic: str) -> None:
        self._library = dds
        self._entity = entity
        self._doing = f"publishing {topic}"
        self._lock = threading.Lock()
        self._closed = False
        self._type = ctypes.c_void_p()  # a bare pointer of the library's, which dies with the writer
        check(dds.dds_get_entity_sertype(entity, ctypes.byref(self._type)), self._doing)

    @property
    def matched(self) -> bool:
        """See `Writer`."""
        return check(self._library.dds_get_matched_subscriptions(self._entity, None, 0), self._doing) > 0

    def write(self, message: bytes) -> bool:
        """See `Writer`."""
        filling = -len(message) % 4
        if filling:  # told in the last two bits of the header
            message = b"".join((message[:3], bytes((filling,)), message[4:], bytes(filling)))
        part = Iovec(base=ctypes.cast(ctypes.c_char_p(message), ctypes.c_void_p), size=len(message))
        with self._lock:
            if self._closed:
                raise MediaError(f"{self._doing}: it was closed")
            serialized = self._library.ddsi_serdata_from_ser_iov(
                self._type, _DATA, 1, ctypes.byref(part), len(message)
            )
            if not serialized:
                raise MediaError(f"{self._doing}: Cyclone DDS takes the message for damaged")
            result = self._library.dds_writecdr(self._entity, serialized)  # which lets go of it
        return result != _TIMEOUT and check(result, self._doing) >= 0

    def close(self) -> None:
        """See `Writer`."""
        with self._lock:
            closed, self._closed = self._closed, True
            if not closed:
                self._library.dds_delete(self._entity)


def _enter(domain: int, settings: tuple[str, int | None]) -> None:
    """Make the domain, or share it."""
    interface, datagram_bytes = settings
    with _domains.lock:
        found = _domains.open.get(domain)
        if found is None:
            config = domain_config(interface=interface, datagram_bytes=datagram_bytes)
            doing = f"configuring domain {domain}"
            with heard() as words:
                entity = library().dds_create_domain(domain, config.encode())
            found = _domains.open[domain] = _Domain(settings=settings, entity=check(entity, doing, words))
        elif found.settings != settings:
            raise OptionError(
                f"ros2: domain {domain} is open in this process with interface={found.settings[0] or 'lo'} and "
                f"datagram={found.settings[1] or 'default'}; give all addresses of a domain the same"
            )
        found.users += 1


def _leave(domain: int) -> None:
    with _domains.lock:
        found = _domains.open[domain]
        found.users -= 1
        if not found.users:
            library().dds_delete(found.entity)
            del _domains.open[domain]
