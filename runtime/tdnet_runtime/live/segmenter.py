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
from tdnet_runtime.live.crew import Crew
from tdnet_runtime.live.deadline import Deadline
from tdnet_runtime.live.events import Event, EventLog
from tdnet_runtime.live.feed import Feed, Restart, feed_of
from tdnet_runtime.live.gap import GapPolicy
from tdnet_runtime.live.health import LiveHealth
from tdnet_runtime.live.health_report import live_health
from tdnet_runtime.live.network import LiveEngine
from tdnet_runtime.live.outlet import Results, WhenFull, names_in
from tdnet_runtime.live.policy import Policy
from tdnet_runtime.live.result import LiveResult
from tdnet_runtime.live.sink_worker import CallbackSink, ResultSink, SinkOptions
from tdnet_runtime.media.frames import FrameSource
from tdnet_runtime.sinks.source_names import SourceNames

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

    Attributes:
        left_behind: names of the threads that did not end in `close`, such as `sink NAME`. Such a sink must not
            be closed: its thread is at work in it.

    Raises:
        OptionError: what is given cannot be meant. Streams are opened by `start`.
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
        self.left_behind: tuple[str, ...] = ()
        self._error: BaseException | None = None
        self._loop: Results | None = None
        feeds = {}
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
            feeds[name] = (feed, may_reopen)
        self._crew = Crew(
            feeds,
            self._sink_options(sinks, on_result, list(sources)),
            hang_after_ms=hang_after_ms,
            events=self._events,
            on_failure=self._fail,
            clock=clock,
        )
        _open.add(self)

    def start(self) -> None:
        """Begin; does nothing if it has begun. Returns when the streams are open, each in the thread that pushes into it.

        Raises:
            Exception: what a sink raised that was to end all.
            BackendError: the engine cannot make a stream; this is closed then.
            StreamError: it is closed, or was while streams were opened; this is a forked child, or the system gives no
                more threads.
        """
        self.require_own_process("start()")
        with self._life:
            if self._closed:
                self._raise_error()
                raise StreamError("start() was called on a closed LiveSegmenter; make a new one")
            if self._started_ns is None:
                self._started_ns = self._clock()
                try:
                    self._crew.start()
                except BaseException:
                    if not self._closed:
                        self.close()
                    raise

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
            OptionError: no names, or no source of that name.
            StreamError: it is closed, or this is a forked child.
            BackendError: see `start`.
        """
        names = names_in(sources, "results")
        _check_names("results", names, list(self._crew.readers))
        results = Results(
            depth=depth, when_full=when_full, sources=names, on_end=self._raise_error, clock=self._clock
        )
        with self._life:
            if self._closed:
                raise StreamError("results() was called on a closed LiveSegmenter; make a new one")
            self._crew.attach(results)
            self.start()
        return results

    def __iter__(self) -> Results:
        """The one loop of its own; the next `for` goes on where one was left. See `results`."""
        with self._life:
            if self._loop is None:
                self._loop = self.results()
            return self._loop

    def __aiter__(self) -> Results:
        """See `__iter__`."""
        return iter(self)

    def run(self) -> LiveHealth:
        """Begin, wait until all sources are over and all sinks done, and close; gives the health before that.

        Raises:
            StreamError, BackendError: see `start`.
            Exception: what a sink raised that was to end all.
        """
        self.start()
        self._crew.over.wait()
        for sink in self._crew.sinks:
            sink.thread.ended()
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
        return live_health(self._crew, self._events, started_ns=self._started_ns, now_ns=self._clock())

    @property
    def errors(self) -> dict[str, TdnetError]:
        """Sources that failed or were given up for good, and why."""
        found = ((name, reader.final_error) for name, reader in self._crew.readers.items())
        return {name: error for name, error in found if error is not None}

    @property
    def busy(self) -> bool:
        """See `ForkBound`."""
        return any(worker.busy_since_ns is not None for worker in self._crew.workers)

    def close(
        self, timeout_s: float = 5.0, *, sink_patience_s: float | Callable[[], float] | None = None
    ) -> None:
        """End all, and wait for the threads; safe from any thread, also a callback's, and to call twice.

        The inferences that run are finished and their results handed out; sinks write what waits for them; loops end.
        What does not come back in time (a driver, a backend that hangs, a sink that blocks) is left behind in its
        thread and told. Nothing in a forked child.

        Args:
            timeout_s: for all threads together; where others took it, sinks have half a second more.
            sink_patience_s: instead, for sinks: they are waited for while none is at one result for longer than this; a
                function is asked now and then.
        """
        if self.stranded:
            return
        until_s = time.monotonic() + timeout_s
        self._stop()
        self.left_behind = tuple(self._crew.join(until_s, sink_patience_s=sink_patience_s))
        _open.discard(self)
        if self.left_behind:
            message = f"left behind after {timeout_s:g} s: {', '.join(dict.fromkeys(self.left_behind))}"
            self._events.tell("left_behind", "close", message, level=logging.ERROR)

    def _stop(self) -> None:
        """Ask all to end, but for the sinks; returns at once, also while `start` waits for an engine."""
        self._closed = True
        self._crew.stop()

    def _sink_options(
        self,
        sinks: Sequence[ResultSink | SinkOptions],
        on_result: Callable[[LiveResult], object] | None,
        sources: list[str],
    ) -> list[SinkOptions]:
        options = [sink if isinstance(sink, SinkOptions) else SinkOptions(sink=sink) for sink in sinks]
        if on_result is not None:
            options.append(SinkOptions(sink=CallbackSink(on_result)))
        names = [each.sink.name for each in options]
        if len(set(names)) != len(names):
            raise OptionError(f"the sinks are called {', '.join(names)}; expected a name of its own for each")
        for each in options:
            _check_names(f"the sink {each.sink.name}", each.sources, sources)
            if isinstance(called := getattr(each.sink, "source_names", None), SourceNames):
                called.check(sources if each.sources is None else each.sources)
        return options

    def _fail(self, error: BaseException) -> None:
        """In a sink's thread: end all because of it."""
        self._error = self._error or error
        self._stop()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error


def _check_names(who: str, asked: Iterable[str] | None, sources: list[str]) -> None:
    if strangers := sorted(set(asked or ()) - set(sources)):
        raise OptionError(f"{who} of {', '.join(strangers)}: the sources are {', '.join(sources)}")


def _close_all() -> None:
    """At the interpreter's end: threads of an engine's must not outlive it."""
    for live in list(_open):
        live.close()


atexit.register(_close_all)
