"""Cameras to masks, without a loop of one's own: readers, one worker for each device, sinks, a watchdog."""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence

from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import OptionError, StreamError, TdnetError
from tdnet_runtime.forks import ForkBound
from tdnet_runtime.live.deadline import Deadline
from tdnet_runtime.live.events import Event, EventLog
from tdnet_runtime.live.feed import Feed, Restart, feed_of
from tdnet_runtime.live.gap import GapPolicy
from tdnet_runtime.live.health import (
    LiveHealth,
    device_health,
    event_note,
    resident_mib,
    sink_health,
    source_health,
    status_of,
)
from tdnet_runtime.live.lane import Lane
from tdnet_runtime.live.network import LiveEngine
from tdnet_runtime.live.outlet import Results, WhenFull
from tdnet_runtime.live.policy import Policy
from tdnet_runtime.live.reader import Reader
from tdnet_runtime.live.result import LiveResult
from tdnet_runtime.live.runner import StreamRunner
from tdnet_runtime.live.sink_worker import CallbackSink, ResultSink, SinkOptions, SinkWorker
from tdnet_runtime.live.watchdog import Watchdog
from tdnet_runtime.live.worker import Track, Worker
from tdnet_runtime.media.frames import FrameSource

__all__ = ["LiveSegmenter"]

_open: weakref.WeakSet[LiveSegmenter] = weakref.WeakSet()


class LiveSegmenter(Closeable, ForkBound):
    """Segments several sources at once; results come to callbacks and sinks, to a loop, or to an asynchronous one.

    Each source has a reader thread and a stream of its own; each segmenter has one worker thread, whose turns the sources
    share fairly; each sink has a queue and a thread. Nothing runs before `start`, `run` or the first step of a loop.
    What fails is told (log, `on_event`, `health`), and the rest goes on. docs/embedding.md says who owns what.

    Args:
        segmenter: an open `Segmenter`; stays the caller's, who closes it afterwards.
        sources: by name: a function that opens a `FrameSource` (called in the reader's thread, and again when a live
            source has died), an open one (which stays the caller's, and cannot be opened again), or a `Feed`.
        policy: which frames are segmented; None for `newest` in live sources and `every` in others.
        gap: when a stream's memory is emptied.
        deadline: of results; None for none.
        smaller: another open segmenter, for the mode `smaller` of deadlines.
        restart: what happens when a live source dies.
        on_result: called with each result, in a thread of its own.
        sinks: get each result, each in a thread of its own; whoever made them closes them afterwards.
        on_event: called with what happens, in the thread in which it does.
        hang_after_ms: an inference, or a sink's work on one result, that takes longer is told. Nothing is ended.
        clock: monotonic, ns; for tests.

    Raises:
        OptionError: what is given cannot be meant.
        BackendError: the engine cannot make a stream.
    """

    def __init__(
        self,
        segmenter: LiveEngine,
        sources: Mapping[str, Feed | Callable[[], FrameSource] | FrameSource],
        policy: Policy | None = None,
        *,
        gap: GapPolicy | None = None,
        deadline: Deadline | None = None,
        smaller: LiveEngine | None = None,
        restart: Restart | None = None,
        on_result: Callable[[LiveResult], object] | None = None,
        sinks: Sequence[ResultSink | SinkOptions] = (),
        on_event: Callable[[Event], None] | None = None,
        hang_after_ms: float = 10_000.0,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        if not sources:
            raise OptionError("LiveSegmenter was given no sources; expected at least one, by name")
        if not hang_after_ms > 0:
            raise OptionError(f"hang_after_ms is {hang_after_ms:g}; expected more than 0")
        self._clock = clock
        self._events = EventLog(on_event, clock=clock)
        self._life = threading.RLock()
        self._started_ns: int | None = None
        self._closed = False
        self._error: Exception | None = None
        self._over = threading.Event()
        self._readers: dict[str, Reader] = {}
        self._tracks: dict[str, Track] = {}
        self._workers: list[Worker] = []
        self._results: list[Results] = []
        self._sinks = self._sink_workers(sinks, on_result)
        devices: dict[int, Worker] = {}
        try:
            for name, given in sources.items():
                feed, may_reopen = feed_of(given)
                feed = feed.with_defaults(
                    policy=policy,
                    gap=gap or GapPolicy(),
                    deadline=deadline,
                    restart=restart or Restart(),
                    segmenter=segmenter,
                    smaller=smaller,
                )
                self._add(name, feed, devices, may_reopen=may_reopen)
        except BaseException:
            for track in self._tracks.values():
                track.runner.close()
            raise
        for worker in self._workers:
            for sink in self._sinks:
                worker.attach(sink)
        self._watchdog = Watchdog(
            list(self._readers.values()),
            self._workers,
            self._sinks,
            hang_after_ms=hang_after_ms,
            events=self._events,
            clock=clock,
        )
        _open.add(self)

    def start(self) -> None:
        """Begin; does nothing if it has begun.

        Raises:
            StreamError: it is closed, this is a forked child, or the system gives no more threads.
        """
        self.require_own_process("start()")
        with self._life:
            if self._closed:
                raise StreamError("start() was called on a closed LiveSegmenter; make a new one")
            if self._started_ns is None:
                self._started_ns = self._clock()
                try:
                    for thread in (*(sink.thread for sink in self._sinks), *self._threads()):
                        thread.start()
                except RuntimeError as error:
                    self.close()
                    raise StreamError(f"start() gets no more threads of the system: {error}") from error

    def results(
        self,
        *,
        depth: int = 8,
        when_full: WhenFull | None = None,
        sources: Iterable[str] | None = None,
    ) -> Results:
        """Results for one loop, from now on: `for result in live.results()`, or `async for`; it ends with the sources.

        A loop that is slower than the sources gets the newest results of those whose frames may be lost, `depth` at most of
        each; others wait for it.

        Args:
            depth: results of each source that wait for the loop.
            when_full: `drop` the oldest result or `wait` with the source's next frame, whatever its policy is.
            sources: names; None for all.

        Raises:
            OptionError: no source of that name.
            StreamError: it is closed, or this is a forked child.
        """
        names = None if sources is None else list(sources)
        self._check_names(names)
        results = Results(
            depth=depth, when_full=when_full, sources=names, on_end=self._raise_error, clock=self._clock
        )
        with self._life:
            if self._closed:
                raise StreamError("results() was called on a closed LiveSegmenter; make a new one")
            self._results.append(results)
            for worker in self._workers:
                worker.attach(results)
            self.start()
            if self._over.is_set():
                results.end()
        return results

    def __iter__(self) -> Results:
        """`results()`."""
        return self.results()

    def __aiter__(self) -> Results:
        """`results()`."""
        return self.results()

    def run(self) -> LiveHealth:
        """Begin, wait until all sources are over and all sinks done, and close; gives the health before that.

        Raises:
            StreamError: it is closed, or this is a forked child.
            Exception: what a sink raised that was to end all.
        """
        self.start()
        self._over.wait()
        for sink in self._sinks:
            sink.thread.join()
        health = self.health()
        self.close()
        self._raise_error()
        return health

    def health(self) -> LiveHealth:
        """How it is; takes no time of the workers'.

        Raises:
            StreamError: this is a forked child.
        """
        self.require_own_process("health()")
        now_ns = self._clock()
        sources = {
            name: source_health(reader, self._tracks[name], now_ns) for name, reader in self._readers.items()
        }
        devices = {worker.name: device_health(worker, now_ns) for worker in self._workers}
        sinks = {sink.name: sink_health(sink) for sink in self._sinks}
        return LiveHealth(
            status=status_of(sources, devices, sinks),
            uptime_s=0.0 if self._started_ns is None else (now_ns - self._started_ns) / 1e9,
            sources=sources,
            devices=devices,
            sinks=sinks,
            resident_mib=resident_mib(),
            events=[event_note(event, now_ns) for event in self._events.recent()],
            event_counts=self._events.counts(),
        )

    @property
    def errors(self) -> dict[str, TdnetError]:
        """Sources that failed or were given up for good, and why."""
        found = ((name, reader.final_error) for name, reader in self._readers.items())
        return {name: error for name, error in found if error is not None}

    @property
    def busy(self) -> bool:
        """See `ForkBound`."""
        return any(worker.busy_since_ns is not None for worker in self._workers)

    def close(self, timeout_s: float = 5.0) -> None:
        """End all, and wait for the threads; safe from any thread, also a callback's, and to call twice.

        The inferences that run are finished and their results handed out; sinks write what waits for them; loops end.
        What does not come back in time (a driver, a backend that hangs, a sink that blocks) is left behind in its
        thread and told. Nothing in a forked child.

        Args:
            timeout_s: for all threads together.
        """
        if self.stranded:
            return
        until_s = time.monotonic() + timeout_s
        self._stop()
        left = [thread.name for thread in self._threads() if not _joined(thread, until_s)]
        for sink in self._sinks:
            sink.end()
        for worker in self._workers:
            if worker.thread.ident is None:  # it never ran, and so has not done it
                for track in worker.tracks:
                    track.runner.close()
        left += [sink.thread.name for sink in self._sinks if not _joined(sink.thread, until_s)]
        _open.discard(self)
        if left:
            message = f"left behind after {timeout_s:g} s: {', '.join(dict.fromkeys(left))}"
            self._events.tell("left_behind", "close", message, level=logging.ERROR)

    def _stop(self) -> None:
        """Ask all to end, but for the sinks; returns at once."""
        with self._life:
            self._closed = True
        self._watchdog.stop()
        for reader in self._readers.values():
            reader.stop()
        for worker in self._workers:
            worker.stop()
        for results in self._results:
            results.end(discard=True)

    def _threads(self) -> list[threading.Thread]:
        """All but the sinks', which end last."""
        sources = [reader.thread for reader in self._readers.values()]
        return [*(worker.thread for worker in self._workers), *sources, self._watchdog.thread]

    def _sink_workers(
        self,
        sinks: Sequence[ResultSink | SinkOptions],
        on_result: Callable[[LiveResult], object] | None,
    ) -> list[SinkWorker]:
        options = [sink if isinstance(sink, SinkOptions) else SinkOptions(sink=sink) for sink in sinks]
        if on_result is not None:
            options.append(SinkOptions(sink=CallbackSink(on_result)))
        names = [each.sink.name for each in options]
        if len(set(names)) != len(names):
            raise OptionError(f"the sinks are called {', '.join(names)}; expected a name of its own for each")
        return [
            SinkWorker(each, events=self._events, on_failure=self._fail, clock=self._clock)
            for each in options
        ]

    def _add(self, name: str, feed: Feed, devices: dict[int, Worker], *, may_reopen: bool) -> None:
        engine, gap, restart = feed.segmenter, feed.gap, feed.restart
        assert engine is not None and gap is not None and restart is not None  # noqa: PT018  # there are defaults
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
        self._tracks[name] = Track(lane, runner)
        worker.tracks.append(self._tracks[name])
        self._readers[name] = Reader(
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
        name = f"{getattr(backend, 'name', 'device')}:{len(self._workers)}"
        description = getattr(backend, "description", type(engine).__name__)
        worker = Worker(name, description, on_over=self._worker_over, events=self._events, clock=self._clock)
        self._workers.append(worker)
        return worker

    def _check_names(self, names: list[str] | None) -> None:
        if strangers := sorted(set(names or ()) - set(self._readers)):
            raise OptionError(
                f"results of {', '.join(strangers)}; the sources are {', '.join(self._readers)}"
            )

    def _worker_over(self) -> None:
        """In a worker's thread, at its end: where it is the last one, nothing more comes."""
        if all(worker.over for worker in self._workers):
            self._over.set()
            for results in self._results:
                results.end()
            for sink in self._sinks:
                sink.end()

    def _fail(self, error: Exception) -> None:
        """In a sink's thread: end all because of it."""
        self._error = self._error or error
        self._stop()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error


def _joined(thread: threading.Thread, until_s: float) -> bool:
    """The thread is at its end; waits for it until then."""
    if thread is threading.current_thread() or thread.ident is None:
        return True
    thread.join(max(until_s - time.monotonic(), 0))
    return not thread.is_alive()


def _close_all() -> None:
    """At the interpreter's end: threads of an engine's must not outlive it."""
    for live in list(_open):
        live.close()


atexit.register(_close_all)
