"""A sink behind a queue and a thread of its own: whatever it does, inference goes on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from tdnet_runtime.errors import TdnetError
from tdnet_runtime.live.events import EventLog, log_defect
from tdnet_runtime.live.outlet import Outlet, WhenFull, names_in
from tdnet_runtime.live.own_thread import OwnThread
from tdnet_runtime.live.result import LiveResult

__all__ = ["CallbackSink", "ResultSink", "SinkOptions", "SinkWorker"]

logger = logging.getLogger(__name__)


class ResultSink(Protocol):
    """Anything that takes results. Whoever made it closes it, after the `LiveSegmenter`.

    Attributes:
        name: for messages and health.
    """

    name: str

    def write(self, result: LiveResult) -> None:
        """Take one; called in one thread. What it raises is counted and told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkOptions:
    """A sink and how it is served.

    Attributes:
        sink: it.
        depth: results of each source that may wait for it.
        when_full: see `Outlet`.
        stop_on_failure: what it raises ends the `LiveSegmenter`; else the result is lost and the next one tried.
        sources: names of those whose results it gets; None for all. Kept as a tuple.

    Raises:
        OptionError: `sources` are no names.
    """

    sink: ResultSink
    depth: int = 8
    when_full: WhenFull | None = None
    stop_on_failure: bool = False
    sources: Iterable[str] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "sources", names_in(self.sources, self.sink.name))


class CallbackSink:
    """A function as a sink.

    Args:
        function: called with each result, in the sink's thread.
        name: for messages and health.
    """

    def __init__(self, function: Callable[[LiveResult], object], *, name: str = "callback") -> None:
        self.name = name
        self._function = function

    def write(self, result: LiveResult) -> None:
        """See `ResultSink`."""
        self._function(result)


class SinkWorker(Outlet):
    """The queue and the thread of one sink.

    Args:
        options: see there.
        events: where to tell what fails.
        on_failure: called with what the sink raised where that is to end all.
        clock: monotonic, ns.

    Attributes:
        written: results that the sink has written.
        failures: results that it raised at.
        failing: it raised at the last one.
        error: the last of these, in words.
        blocks: it has been told that it takes too long for one result.
        writing_since_ns: since when the sink has been at work on one result; None where it is not.
    """

    def __init__(
        self,
        options: SinkOptions,
        *,
        events: EventLog,
        on_failure: Callable[[BaseException], None],
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        super().__init__(
            options.sink.name,
            depth=options.depth,
            when_full=options.when_full,
            sources=options.sources,
            clock=clock,
        )
        self.written = self.failures = 0
        self.failing = False
        self.error = ""
        self.writing_since_ns: int | None = None
        self.blocks = False
        self._sink = options.sink
        self._stop_on_failure = options.stop_on_failure
        self._events = events
        self._on_failure = on_failure
        self.thread = OwnThread(self._run, name=f"sink {self.name}")

    def check_block(self, now_ns: int, limit_ms: float) -> None:
        """Tell where the sink takes longer than the limit for one result."""
        since_ns = self.writing_since_ns
        if self.blocks or since_ns is None or now_ns - since_ns <= limit_ms * 1e6:
            return
        self.blocks = True
        self._events.tell(
            "sink_blocks", self.name, f"it has been at one result for {(now_ns - since_ns) / 1e9:.1f} s"
        )

    def _run(self) -> None:
        while (result := self.take()) is not None:
            self.writing_since_ns = self._clock()
            try:
                self._sink.write(result)
                self.written += 1
                self.failing = False
            except (
                BaseException
            ) as error:  # a callback may call sys.exit(), which ends threads without a word
                self._failed(error, result)
            finally:
                self.writing_since_ns, self.blocks = None, False

    def _failed(self, error: BaseException, result: LiveResult) -> None:
        self.failing = True
        self.failures += 1
        self.error = str(error) or type(error).__name__
        message = f"frame {result.frame.name!r} of {result.source} is lost: {self.error}"
        self._events.tell("sink_failed", self.name, message, level=logging.ERROR)
        if not isinstance(error, TdnetError):
            log_defect(logger, self.name, error)
        if self._stop_on_failure:
            self._on_failure(error)
            self.end(discard=True)
