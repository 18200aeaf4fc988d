"""All threads of a `LiveSegmenter`: made, started, stopped and waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from tdnet_runtime.errors import StreamError
from tdnet_runtime.live.events import EventLog
from tdnet_runtime.live.feed import Feed
from tdnet_runtime.live.lane import Lane
from tdnet_runtime.live.network import LiveEngine
from tdnet_runtime.live.outlet import Results
from tdnet_runtime.live.own_thread import OwnThread
from tdnet_runtime.live.reader import Reader
from tdnet_runtime.live.runner import StreamRunner
from tdnet_runtime.live.sink_worker import SinkOptions, SinkWorker
from tdnet_runtime.live.watchdog import Watchdog
from tdnet_runtime.live.worker import Track, Worker

__all__ = ["Crew"]

_LOOK_S = 0.2
_GRACE_S = 0.5  # in which a sink that has nothing to do ends


class Crew:
    """A reader for each source, a worker for each segmenter, a thread for each sink, and a watchdog.

    Args:
        feeds: by name, without gaps; and whether each can be opened again.
        sinks: all of them.
        hang_after_ms: see `Watchdog`.
        events: where to tell what happens.
        on_failure: called with what a sink raised that is to end all.
        clock: monotonic, ns.

    Attributes:
        readers: by the sources' names.
        tracks: likewise.
        workers: of the segmenters, in the order in which feeds name them.
        sinks: their workers.
        watchdog: the one.
        over: all workers are at their end, and no more results come.

    Raises:
        OptionError: what is given cannot be meant.
    """

    def __init__(
        self,
        feeds: Mapping[str, tuple[Feed, bool]],
        sinks: Sequence[SinkOptions],
        *,
        hang_after_ms: float,
        events: EventLog,
        on_failure: Callable[[BaseException], None],
        clock: Callable[[], int],
    ) -> None:
        self.readers: dict[str, Reader] = {}
        self.tracks: dict[str, Track] = {}
        self.workers: list[Worker] = []
        self.over = threading.Event()
        self._results: list[Results] = []
        self._events = events
        self._clock = clock
        self.sinks = [SinkWorker(each, events=events, on_failure=on_failure, clock=clock) for each in sinks]
        devices: dict[int, Worker] = {}
        for name, (feed, may_reopen) in feeds.items():
            self._add(name, feed, devices, may_reopen=may_reopen)
        for worker in self.workers:
            for sink in self.sinks:
                worker.attach(sink)
        self.watchdog = Watchdog(
            list(self.readers.values()),
            self.workers,
            self.sinks,
            hang_after_ms=hang_after_ms,
            events=events,
            clock=clock,
        )

    def start(self) -> None:
        """Start all threads; the watchdog's, then each worker's, which opens its streams before anything else begins.

        Raises:
            BackendError: an engine cannot make a stream.
            StreamError: the system gives no more threads, or `stop` was called while streams were opened.
        """
        _start(self.watchdog.thread)
        for worker in self.workers:
            _start(worker.thread)
            if not worker.wait_open():
                raise StreamError(
                    "start() was opening the streams when close() was called; make a new LiveSegmenter"
                )
        sources = [reader.thread for reader in self.readers.values()]
        for thread in (*(sink.thread for sink in self.sinks), *sources):
            _start(thread)

    def attach(self, results: Results) -> None:
        """Hand results to a loop, from now on."""
        self._results = [*(each for each in self._results if not each.ended), results]
        for worker in self.workers:
            worker.attach(results)
        if self.over.is_set():
            results.end()

    def stop(self) -> None:
        """Ask all to end, but for the sinks; returns at once."""
        self.watchdog.stop()
        for reader in self.readers.values():
            reader.stop()
        for worker in self.workers:
            worker.stop()
        for results in self._results:
            results.end(discard=True)

    def join(self, until_s: float, *, sink_patience_s: float | Callable[[], float] | None) -> list[str]:
        """Wait for all, until `time.monotonic()` is that; the sinks end when the others have. Gives who has not.

        Sinks get half a second more, where the others took all the time. With `sink_patience_s` they are waited for while
        none is at one result for longer than this; a function is asked now and then.
        """
        stoppers = [thread for reader in self.readers.values() for thread in reader.stoppers]
        left = [thread.name for thread in (*self._threads(), *stoppers) if not thread.ended(until_s)]
        for sink in self.sinks:
            sink.end()
        until_s = max(until_s, time.monotonic() + _GRACE_S)
        for sink in self.sinks:
            ended = sink.thread.ended(until_s)
            while not ended and sink_patience_s is not None and self._works(sink, sink_patience_s):
                ended = sink.thread.ended(time.monotonic() + _LOOK_S)
            if not ended:
                left.append(sink.thread.name)
        return left

    def _works(self, sink: SinkWorker, patience_s: float | Callable[[], float]) -> bool:
        """It is at no result, or has not been at it for so long."""
        since_ns = sink.writing_since_ns
        limit_s = patience_s() if callable(patience_s) else patience_s
        return since_ns is None or self._clock() - since_ns <= limit_s * 1e9

    def _threads(self) -> list[OwnThread]:
        """All but the sinks' and those that stop sources."""
        sources = [reader.thread for reader in self.readers.values()]
        return [*(worker.thread for worker in self.workers), *sources, self.watchdog.thread]

    def _add(self, name: str, feed: Feed, devices: dict[int, Worker], *, may_reopen: bool) -> None:
        engine, gap, restart = feed.segmenter, feed.gap, feed.restart
        assert engine is not None and gap is not None and restart is not None  # noqa: PT018  # without gaps
        worker = devices.get(id(engine))
        if worker is None:
            worker = devices[id(engine)] = self._worker(engine)
        lane = Lane(name, feed.policy, worker.lock, worker.turn)
        runner = StreamRunner(
            name,
            engine,
            smaller=feed.smaller,
            gap=gap,
            deadline=feed.deadline,
            events=self._events,
            on_mode=lane.set_mode,
            clock=self._clock,
        )
        self.tracks[name] = Track(lane, runner)
        worker.tracks.append(self.tracks[name])
        self.readers[name] = Reader(
            name,
            feed,
            lane,
            restart=restart,
            may_reopen=may_reopen,
            events=self._events,
            clock=self._clock,
        )

    def _worker(self, engine: LiveEngine) -> Worker:
        backend = getattr(engine, "backend", None)
        name = f"{getattr(backend, 'name', 'device')}:{len(self.workers)}"
        description = getattr(backend, "description", type(engine).__name__)
        worker = Worker(name, description, on_over=self._worker_over, events=self._events, clock=self._clock)
        self.workers.append(worker)
        return worker

    def _worker_over(self) -> None:
        """In a worker's thread, at its end: where it is the last one, nothing more comes."""
        if all(worker.over for worker in self.workers):
            self.over.set()
            for outlet in (*self._results, *self.sinks):
                outlet.end()


def _start(thread: OwnThread) -> None:
    try:
        thread.start()
    except RuntimeError as error:
        raise StreamError(f"start() gets no more threads of the system: {error}") from error
