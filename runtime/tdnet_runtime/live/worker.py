"""The one thread that computes on a device, for all sources in turn."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tdnet_runtime.live.events import EventLog, log_defect
from tdnet_runtime.live.lane import Lane, Waiting
from tdnet_runtime.live.outlet import Outlet
from tdnet_runtime.live.own_thread import OwnThread
from tdnet_runtime.live.runner import StreamRunner

__all__ = ["Track", "Worker"]

logger = logging.getLogger(__name__)

_LOOK_S = 0.2


@dataclass(slots=True)
class Track:
    """One source's way through a worker: where frames wait, what segments them, who gets the results.

    Attributes:
        fruitless: frames in a row, up to the last one taken, without a result.
    """

    lane: Lane
    runner: StreamRunner
    outlets: tuple[Outlet, ...] = ()
    fruitless: int = 0

    def is_ready(self) -> bool:
        """A frame waits, and its result would find room."""
        keeps_all = self.lane.waits
        return len(self.lane) > 0 and all(
            outlet.has_room(self.lane.name, keeps_all=keeps_all) for outlet in self.outlets
        )


class Worker:
    """Takes the frame whose source has waited longest for its turn, segments it, hands out the result, and so on.

    A source's turn begins to wait when its first frame comes, or when it has had a turn and another frame waits: so each
    waits for one inference of each other source, at most, whatever their rates are.

    Args:
        name: of the device.
        description: of it.
        on_over: called in the thread when all sources are over and all results handed out.
        events: where to tell what happens.
        clock: monotonic, ns.

    Attributes:
        lock: of all its lanes.
        turn: what it waits for.
        tracks: of its sources; fixed once it runs.
        busy_since_ns: when the inference that runs, or the opening of a stream, began; None between two.
        busy_with: source that it runs for.
        hangs: it has been told that it takes too long.
        over: the thread has nothing more to do.
    """

    def __init__(
        self,
        name: str,
        description: str,
        *,
        on_over: Callable[[], None],
        events: EventLog,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.name = name
        self.description = description
        self.lock = threading.RLock()
        self.turn = threading.Condition(self.lock)
        self.tracks: list[Track] = []
        self.busy_since_ns: int | None = None
        self.busy_with = ""
        self.hangs = False
        self.over = False
        self._on_over = on_over
        self._events = events
        self._clock = clock
        self._stopping = False
        self._opened = False
        self._error: BaseException | None = None
        self.thread = OwnThread(self._run, name=f"device {name}")

    def wait_open(self) -> bool:
        """Wait until the thread has opened all streams; False where it is to stop. Raises what that raised."""
        with self.lock:  # of `turn`, and not an Event, so that a signal handler may come in again
            while not self.turn.wait_for(lambda: self._opened or self._stopping, _LOOK_S):
                pass  # a signal that comes right before it blocks would not be seen
        if self._error is not None:
            raise self._error
        return not self._stopping

    def attach(self, outlet: Outlet) -> None:
        """Hand it the results that it wants, from now on."""
        outlet.attach(self.wake)
        with self.lock:
            for track in self.tracks:
                own = [outlet] if outlet.wants(track.lane.name) else []
                track.outlets = (*(each for each in track.outlets if not each.ended), *own)

    def wake(self) -> None:
        """Have it look again whether a source is ready."""
        with self.lock:
            self.turn.notify()

    def stop(self) -> None:
        """Let it end after the inference or opening that runs; frames that wait are dropped. Returns at once."""
        with self.lock:
            self._stopping = True
            for track in self.tracks:
                track.lane.give_up()
            self.turn.notify_all()

    def check_hang(self, now_ns: int, limit_ms: float) -> None:
        """Tell where an inference takes longer than the limit."""
        since_ns = self.busy_since_ns
        if self.hangs or since_ns is None or now_ns - since_ns <= limit_ms * 1e6:
            return
        self.hangs = True
        taken_s = (now_ns - since_ns) / 1e9
        what = "one frame" if self._opened else "opening the stream"
        message = f"the backend has been at {what} of {self.busy_with} for {taken_s:.1f} s, and is waited for"
        self._events.tell("backend_hangs", self.name, message, level=logging.ERROR)

    def _run(self) -> None:
        try:
            if self._open():
                while (found := self._next()) is not None:
                    self._do(*found)
        finally:
            for track in self.tracks:
                try:
                    track.runner.close()
                except Exception as error:
                    self._events.tell("backend_failed", self.name, f"a stream cannot be closed: {error}")
            self.over = True
            self._on_over()

    def _open(self) -> bool:
        """Open all streams here, where they are pushed; False where one cannot be had: see `wait_open`."""
        try:
            for track in self.tracks:
                if not self._stopping:
                    with self._busy(track):
                        track.runner.open()
        except BaseException as error:
            self._error = error
        finally:
            with self.lock:
                self._opened = True
                self.turn.notify_all()
        return self._error is None

    def _next(self) -> tuple[Track, Waiting] | None:
        """Wait for a source that is ready; None at the end."""
        with self.lock:
            while not self._stopping:
                ready = [track for track in self.tracks if track.is_ready()]
                if ready:
                    track = min(ready, key=_ready_since)
                    return track, track.lane.take()
                if all(track.lane.over and not len(track.lane) for track in self.tracks):
                    break
                self.turn.wait()
            return None

    @contextmanager
    def _busy(self, track: Track) -> Iterator[None]:
        """The backend is at something of this source's meanwhile."""
        self.busy_with = track.lane.name
        self.busy_since_ns = self._clock()
        try:
            yield
        finally:
            self.busy_since_ns = None
        if self.hangs:
            self.hangs = False
            self._events.tell("backend_back", self.name, "the backend came back")

    def _do(self, track: Track, item: Waiting) -> None:
        result = None
        with self._busy(track):
            try:
                result = track.runner.run(item)
            except (
                BaseException
            ) as error:  # a defect of this project's: the other sources must not pay for it
                log_defect(logger, self.name, error)
                what = f"a frame of {track.lane.name} is lost: {error!r}"
                self._events.tell("worker_failed", self.name, what)
            track.fruitless = track.fruitless + 1 if result is None else 0
            track.lane.ready_since_ns = self._clock()
        if result is not None:
            for outlet in track.outlets:
                outlet.put(result, keeps_all=track.lane.waits)


def _ready_since(track: Track) -> int:
    return track.lane.ready_since_ns
