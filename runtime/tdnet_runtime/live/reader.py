"""A thread that reads one source into its lane, and opens it again when it dies."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from numbers import Integral

from tdnet_runtime.errors import FrameError, MediaError, TdnetError
from tdnet_runtime.live.events import EventLog, log_defect, log_safely
from tdnet_runtime.live.feed import Feed, Restart
from tdnet_runtime.live.lane import Lane
from tdnet_runtime.live.own_thread import OwnThread
from tdnet_runtime.media.frames import FrameSource, SourceFrame
from tdnet_runtime.preprocess import check_frame

__all__ = ["Reader"]

logger = logging.getLogger(__name__)


class Reader:
    """The thread of one source.

    Args:
        name: of the source.
        feed: how it is opened.
        lane: where its frames go.
        restart: what happens when it dies.
        may_reopen: False: it was given open, is not closed here, and cannot be opened again.
        events: where to tell what happens.
        clock: monotonic, ns.

    Attributes:
        state: `opening`, `running`, `stalled` (its read, opening or closing takes too long), `closing`, `waiting`
            (to open it again), `ended`, `failed` or `given_up`.
        since_ns: when it came into that state.
        restarts: how often it was opened again; attempts that failed do not count.
        error: what it ended or last died of, in words; empty where it has not.
        final_error: what it failed with or was given up for.
        reading_since_ns: since when its read has been at work; None between two, also while a frame waits for its lane.
        last_frame_ns: when the last frame came, or it was opened; None while there is no open source.
        description: the source's own.
        stoppers: threads in which its `stop` runs.
    """

    def __init__(
        self,
        name: str,
        feed: Feed,
        lane: Lane,
        *,
        restart: Restart,
        may_reopen: bool,
        events: EventLog,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.name = name
        self.restarts = 0
        self.error = ""
        self.final_error: TdnetError | None = None
        self.reading_since_ns: int | None = None
        self.last_frame_ns: int | None = None
        self.description = ""
        self.stoppers: list[OwnThread] = []
        self.live = feed.live
        self._feed = feed
        self._lane = lane
        self._restart = restart
        self._may_reopen = may_reopen
        self._events = events
        self._clock = clock
        self._stopping = threading.Event()
        self._lock = threading.RLock()
        self._source: FrameSource | None = None
        self._with_frames_ns = -1  # from the first to the last one since it was opened; -1 without one
        self._stalled = self._begun = self._at_work = False
        self.state, self.since_ns = "opening", clock()
        self.thread = OwnThread(self._run, name=f"source {name}")

    def stop(self) -> None:
        """Let it end soon; returns at once."""
        self._stopping.set()
        self._stop_source(self._source)

    def check_stall(self, now_ns: int) -> None:
        """Tell one that takes too long to open, read or close, and end a live one's read, so that it is opened again."""
        limit_s = self._restart.stalled_after_s
        with self._lock:
            state = self.state
            if not self._at_work:  # the engines' streams are being opened
                return
            reads = state == "running"
            since_ns = (
                self.reading_since_ns if reads else self.since_ns if state in ("opening", "closing") else None
            )
            if limit_s is None or since_ns is None or now_ns - since_ns <= limit_s * 1e9:
                return
            self._enter("stalled")
            ends = reads and self.live and self._may_reopen
            source, self._stalled = (self._source, True) if ends else (None, self._stalled)
        self._stop_source(source)  # before the application hears of it, which may take its time
        what = "no frame" if reads else f"it has been {state}"
        self._events.tell("source_stalled", self.name, f"{what} for {(now_ns - since_ns) / 1e9:.1f} s")

    def _enter(self, state: str) -> None:
        """Be in that state from now on."""
        with self._lock:
            self.state, self.since_ns = state, self._clock()

    def _stop_source(self, source: FrameSource | None) -> None:
        """In a thread of its own: should a driver's `stop` block, whoever asks must not."""
        if source is None:
            return
        thread = OwnThread(partial(self._call_stop, source), name=f"stop {self.name}")
        try:
            thread.start()
        except RuntimeError:  # the system gives no more threads, or the interpreter ends
            self._call_stop(source)
            return
        with self._lock:
            self.stoppers = [*(each for each in self.stoppers if not each.over.is_set()), thread]

    def _call_stop(self, source: FrameSource) -> None:
        try:
            source.stop()
        except Exception as error:
            self._events.tell("source_died", self.name, f"its stop() raised: {error or type(error).__name__}")

    def _run(self) -> None:
        try:
            self._read_until_over()
        except BaseException as error:
            log_safely(logger, logging.ERROR, "%s: its thread ends", self.name, exc_info=error)
            self._give_up("failed", f"{type(error).__name__}: {error}")
        finally:
            self.last_frame_ns = None
            self._lane.finish()

    def _read_until_over(self) -> None:
        attempt = 0
        while True:
            why = "" if self._stopping.is_set() else self._read_once()
            if self._stopping.is_set() or not why:
                self._enter("ended")
                return
            if not (self._may_reopen and self.live):
                self._give_up("failed", why)
                return
            if self._with_frames_ns >= self._restart.settled_s * 1e9:
                attempt = 0
            attempt += 1
            if self._restart.limit is not None and attempt > self._restart.limit:
                self._give_up("given_up", f"{why}; it died {attempt} times in a row")
                return
            pause_s = self._restart.pause_s(attempt)
            self.error = why
            self._enter("waiting")
            self._events.tell("source_died", self.name, f"{why}; it is opened again in {pause_s:g} s")
            if self._stopping.wait(pause_s):
                self._enter("ended")
                return

    def _give_up(self, state: str, why: str) -> None:
        self.error = why
        self._enter(state)
        self.final_error = MediaError(f"{self.name}: {why}")
        self._events.tell(f"source_{state}", self.name, why, level=logging.ERROR)

    def _read_once(self) -> str:
        """Open the source and read it to its end; gives why it died, or nothing where it ended as it should."""
        self._enter("opening")
        self._with_frames_ns, self._stalled, self._at_work = -1, False, True
        try:
            with ExitStack() as stack:
                source = self._feed.open()
                if not all(hasattr(source, name) for name in ("__iter__", "live", "stop", "description")):
                    raise MediaError(f"opening it gave a {type(source).__name__}; expected a FrameSource")
                if self._may_reopen:
                    stack.enter_context(source)
                stack.callback(self._release)
                self._begin(source)
                self._read(source)
        except Exception as error:
            if not isinstance(error, TdnetError):
                log_defect(logger, self.name, error)
            return str(error) or type(error).__name__
        if self._stalled:
            return f"it gave no frame for {self._restart.stalled_after_s:g} s"
        return "its frames ended without a word" if source.live else ""

    def _begin(self, source: FrameSource) -> None:
        with self._lock:
            self._source = source
        self.live, self.description = source.live, source.description
        self.last_frame_ns = self._clock()
        opened_late = self.state == "stalled"
        self._lane.begin(live=source.live, cold="restart" if self._begun else "start")
        self._enter("running")
        if self._begun:
            self.restarts += 1
            times = "once" if self.restarts == 1 else f"{self.restarts} times"
            self._events.tell("source_restarted", self.name, f"opened again, {times} so far")
        elif self.error or opened_late:
            self._events.tell("source_restarted", self.name, "opened; it was absent at the start")
        self._begun = True
        if self._stopping.is_set():
            source.stop()

    def _release(self) -> None:
        with self._lock:
            self._source = self.reading_since_ns = None
            if self.state == "running":
                self._enter("closing")
        self.last_frame_ns = None

    def _read(self, source: FrameSource) -> None:
        self.reading_since_ns = self._clock()
        frames, first_ns = iter(source), None
        while not self._stopping.is_set():
            self.reading_since_ns = asked_ns = self._clock()
            try:
                frame = next(frames)
            except StopIteration:
                return
            now_ns = self._clock()
            with self._lock:
                self.reading_since_ns, self.last_frame_ns = None, now_ns
                if self.state != "running":
                    self._enter("running")
            try:
                _check(frame)
            except FrameError as error:
                self._lane.refuse()
                self._events.tell("frame_refused", self.name, f"left out: {error}")
                continue
            first_ns = now_ns if first_ns is None else first_ns
            self._with_frames_ns = now_ns - first_ns
            arrival_ns = now_ns if frame.arrival_ns is None else min(frame.arrival_ns, now_ns)
            goes_on = self._lane.offer(frame, arrival_ns, (now_ns - asked_ns) / 1e6)
            if fault := self._lane.stamp_fault:
                self._events.tell("stamp_fault", self.name, f"frame {frame.name!r}: {fault}; not believed")
            if not goes_on:
                return
            self.last_frame_ns = self._clock()


def _check(frame: object) -> None:
    """Raise FrameError unless it is a frame."""
    if not isinstance(frame, SourceFrame):
        raise FrameError(f"the source gave a {type(frame).__name__}; expected a SourceFrame")
    check_frame(frame.image)
    numbers = (frame.stamp_ns, frame.lost_before, 0 if frame.arrival_ns is None else frame.arrival_ns)
    if not all(isinstance(number, Integral) for number in numbers) or frame.lost_before < 0:
        raise FrameError(
            f"frame {frame.name!r} has stamp_ns {frame.stamp_ns!r}, lost_before {frame.lost_before!r}, arrival_ns "
            f"{frame.arrival_ns!r}; expected whole numbers, and lost_before of 0 or more"
        )
