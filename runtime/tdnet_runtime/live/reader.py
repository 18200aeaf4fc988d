"""A thread that reads one source into its lane, and opens it again when it dies."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from numbers import Integral

from tdnet_runtime.errors import FrameError, MediaError, TdnetError
from tdnet_runtime.live.events import EventLog
from tdnet_runtime.live.feed import Feed, Restart
from tdnet_runtime.live.lane import Lane
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
        state: `opening`, `running`, `stalled` (no frame comes, or it takes too long to open or close), `closing`, `waiting`
            (to open it again), `ended`, `failed` or `given_up`.
        since_ns: when it came into that state.
        restarts: how often it was opened again; attempts that failed do not count.
        error: what it ended or last died of, in words; empty where it has not.
        final_error: what it failed with or was given up for.
        last_frame_ns: when the last frame came, or it was opened; None while there is no open source.
        description: the source's own.
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
        self.last_frame_ns: int | None = None
        self.description = ""
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
        self._opened_ns: int | None = None
        self._stalled = self._begun = False
        self.state, self.since_ns = "opening", clock()
        self.thread = threading.Thread(target=self._run, name=f"source {name}", daemon=True)

    def stop(self) -> None:
        """Let it end soon; returns at once."""
        self._stopping.set()
        self._stop_source()

    def check_stall(self, now_ns: int) -> None:
        """Tell one that takes too long to open or close, and end a live one without frames, so that it is opened again."""
        limit_s, state = self._restart.stalled_after_s, self.state
        waits = state == "running" and self.live and not self._lane.blocked
        since_ns = self.since_ns if state in ("opening", "closing") else self.last_frame_ns if waits else None
        if limit_s is None or since_ns is None or now_ns - since_ns <= limit_s * 1e9:
            return
        if not self._enter("stalled", instead_of=state):
            return
        what = "no frame" if waits else f"it has been {state}"
        self._events.tell("source_stalled", self.name, f"{what} for {(now_ns - since_ns) / 1e9:.1f} s")
        if waits and self._may_reopen:
            self._stalled = True
            self._stop_source()

    def _enter(self, state: str, *, instead_of: str | None = None) -> bool:
        """Be in that state from now on; False: it was in another one than `instead_of`, and still is."""
        with self._lock:
            if instead_of is not None and self.state != instead_of:
                return False
            self.state, self.since_ns = state, self._clock()
            return True

    def _stop_source(self) -> None:
        with self._lock:
            source = self._source
        try:
            if source is not None:
                source.stop()
        except Exception as error:
            self._events.tell("source_died", self.name, f"its stop() raised: {error or type(error).__name__}")

    def _run(self) -> None:
        try:
            self._read_until_over()
        except BaseException as error:
            logger.exception("%s: its thread ends", self.name)
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
            opened_ns, settled_ns = self._opened_ns, self._restart.settled_s * 1e9
            if opened_ns is not None and self._clock() - opened_ns >= settled_ns:
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
        self._opened_ns, self._stalled = None, False
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
                logger.error("%s: this is no error that is raised on purpose", self.name, exc_info=error)
            return str(error) or type(error).__name__
        if self._stalled:
            return f"it gave no frame for {self._restart.stalled_after_s:g} s"
        return "its frames ended without a word" if source.live else ""

    def _begin(self, source: FrameSource) -> None:
        with self._lock:
            self._source = source
        self.live, self.description = source.live, source.description
        self._opened_ns = self.last_frame_ns = self._clock()
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
            self._source = None
        self.last_frame_ns = None
        self._enter("closing", instead_of="running")

    def _read(self, source: FrameSource) -> None:
        frames = iter(source)
        while not self._stopping.is_set():
            asked_ns = self._clock()
            try:
                frame = next(frames)
            except StopIteration:
                return
            now_ns = self._clock()
            self.last_frame_ns = now_ns
            if self.state != "running":
                self._enter("running")
            try:
                _check(frame)
            except FrameError as error:
                self._lane.refuse()
                self._events.tell("frame_refused", self.name, f"left out: {error}")
                continue
            arrival_ns = now_ns if frame.arrival_ns is None else min(frame.arrival_ns, now_ns)
            if not self._lane.offer(frame, arrival_ns, (now_ns - asked_ns) / 1e6):
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
