"""A thread that looks, now and then, for what does not move."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from tdnet_runtime.live.events import EventLog
from tdnet_runtime.live.own_thread import OwnThread
from tdnet_runtime.live.reader import Reader
from tdnet_runtime.live.sink_worker import SinkWorker
from tdnet_runtime.live.worker import Worker

__all__ = ["Watchdog"]

_LOOK_S = 0.5


class Watchdog:
    """Tells stalled sources (and has them opened again), backends that hang and sinks that block. It ends nothing.

    Args:
        readers: of all sources.
        workers: of all devices.
        sinks: all of them.
        hang_after_ms: for which one inference, or one result in a sink, may take.
        events: where to tell what it finds.
        clock: monotonic, ns.
    """

    def __init__(
        self,
        readers: Sequence[Reader],
        workers: Sequence[Worker],
        sinks: Sequence[SinkWorker],
        *,
        hang_after_ms: float,
        events: EventLog,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._readers, self._workers, self._sinks = readers, workers, sinks
        self._hang_after_ms = hang_after_ms
        self._events = events
        self._clock = clock
        self._stopping = threading.Event()
        self.thread = OwnThread(self._run, name="watchdog")

    def look(self) -> None:
        """Look at all once."""
        now_ns = self._clock()
        for reader in self._readers:
            reader.check_stall(now_ns)
        for worker in self._workers:
            worker.check_hang(now_ns, self._hang_after_ms)
        for sink in self._sinks:
            sink.check_block(now_ns, self._hang_after_ms)

    def stop(self) -> None:
        """Let it end; returns at once."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(_LOOK_S):
            self.look()
