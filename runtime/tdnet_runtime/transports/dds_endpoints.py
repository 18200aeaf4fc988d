"""What reads and writes a topic of DDS."""

from __future__ import annotations

import ctypes
import threading
import time
from typing import Any

import numpy as np

from tdnet_runtime.errors import MediaError
from tdnet_runtime.transports.dds_library import ANY_STATE, Iovec, SampleInfo, check
from tdnet_runtime.transports.node import Arrival

__all__ = ["DdsReader", "DdsWriter"]

_DATA = 2  # ddsi_serdata_kind
_TIMEOUT = -10


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
