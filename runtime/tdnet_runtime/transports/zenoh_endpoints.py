"""What reads and writes a topic of rmw_zenoh."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any

import numpy as np
import zenoh

from tdnet_runtime.transports.losses import SequenceGaps
from tdnet_runtime.transports.node import Arrival
from tdnet_runtime.transports.zenoh_errors import failing
from tdnet_runtime.transports.zenoh_keys import Attachment

__all__ = ["ZenohReader", "ZenohWriter"]

_POLL_S = 0.001


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
        with failing(self._doing):
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
        with failing(f"publishing {self._topic}"):
            return bool(self._publisher.matching_status.matching)

    def write(self, message: bytes) -> bool:
        """See `Writer`."""
        self._number += 1
        attachment = Attachment(number=self._number, time_ns=time.time_ns(), sender=self._sender)
        with failing(f"publishing {self._topic}"):
            self._publisher.put(message, attachment=attachment.to_bytes())
        return True

    def close(self) -> None:
        """See `Writer`."""
        for declared in (self._token, self._publisher):
            with contextlib.suppress(zenoh.ZError):
                declared.undeclare()
