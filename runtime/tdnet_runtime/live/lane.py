"""The frames of one source that wait for the network, and the count of those that do not reach it."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass

from tdnet_runtime.live.deadline import FULL, HOLD
from tdnet_runtime.live.policy import Picker, Policy, RateLimit
from tdnet_runtime.live.stamps import StampTimes
from tdnet_runtime.media.frames import SourceFrame

__all__ = ["Arrears", "Lane", "Waiting"]


@dataclass(slots=True)
class Arrears:
    """What frames stood for that do not reach the network; the next one that does answers for it.

    Attributes:
        dropped: how many there are.
        lost: those of them that the source lost.
        cold: why the memory must be emptied; empty where nothing in the source says so.
    """

    dropped: int = 0
    lost: int = 0
    cold: str = ""

    def follow(self, other: Arrears) -> None:
        """`other` comes directly before."""
        self.dropped += other.dropped
        self.lost += other.lost
        self.cold = other.cold or self.cold


@dataclass(slots=True)
class Waiting:
    """A frame in the queue.

    Attributes:
        frame: the source's.
        arrival_ns: monotonic.
        decode_ms: that the source took for it; None in live sources, which wait for their frames.
        live: see `FrameSource`.
        before: of the frames directly before it, and `cold` of its own.
        hold: it is to be answered with the last labels.
        left_out_ns: time since the last frame to be segmented that the policy or mode made by leaving out or holding
            those between: all but the longest step from frame to frame.
    """

    frame: SourceFrame
    arrival_ns: int
    decode_ms: float | None
    live: bool
    before: Arrears
    hold: bool = False
    left_out_ns: int = 0


class Lane:
    """A bounded queue between a reader thread and a worker thread, filled by a policy.

    Args:
        name: of the source.
        policy: None for the default of its source; see `newest` and `every`.
        lock: of the worker; all its lanes share it.
        turn: what the worker waits for, made of `lock`.

    Attributes:
        over: the source gives no more frames.
        blocked: the reader waits for room.
        received: frames so far.
        refused_in_a_row: no frames, since the last one that was.
        dropped: of these, by why: `newest`, `every_kth`, `fixed_rate`, `half_rate`, `hold`, `refused`; and `lost` ones.
        ready_since_ns: since when a frame has waited for its turn.
        stamp_fault: why the stamp of the last frame, which the policy left out by it, was not believed; or empty.
        stamp_faults: so many there were.
    """

    def __init__(
        self, name: str, policy: Policy | None, lock: threading.RLock, turn: threading.Condition
    ) -> None:
        self.name = name
        self.over = False
        self.blocked = False
        self.received = self.refused_in_a_row = 0
        self.dropped: Counter[str] = Counter()
        self.ready_since_ns = 0
        self.waits = False
        self.stamp_fault, self.stamp_faults = "", 0
        self._asked = policy
        self._policy = policy or Policy(name="newest")
        self._picker = Picker(self._policy)
        self._turn = turn
        self._room = threading.Condition(lock)
        self._queue: deque[Waiting] = deque()
        self._arrears = Arrears()
        self._mode = FULL
        self._limit: RateLimit | None = None
        self._live = False
        self._times = StampTimes()
        self._last_ns = self._picked_ns = 0  # times of the last frame, and of the last one to be segmented
        self._longest_ns = 0  # step from frame to frame since that
        self._closed = False

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def policy(self) -> str:
        """Its name."""
        return self._policy.name

    # The reader's side

    def begin(self, *, live: bool, cold: str) -> None:
        """The source was opened; `cold` is why its first frame starts anew."""
        with self._turn:
            self._live = live
            self._policy = self._asked or Policy(name="newest" if live else "every")
            self.waits = self._policy.keeps_all(live=live)
            self._picker = Picker(self._policy)
            self._arrears.cold = cold

    def offer(self, frame: SourceFrame, arrival_ns: int, decode_ms: float | None) -> bool:
        """Put a frame into the queue, as the policy has it; waits where it waits. False: no more are wanted."""
        lost, begins = frame.lost_before, "begins" if frame.begins else ""
        item = Waiting(
            frame, arrival_ns, None if self._live else decode_ms, self._live, Arrears(lost, lost, begins)
        )
        with self._turn:
            self.received += 1
            self.refused_in_a_row = 0
            self.dropped["lost"] += lost
            item.before.follow(self._arrears)
            self._arrears = Arrears()
            self.stamp_fault = ""
            time_ns = self._time_ns(frame, arrival_ns)
            if not self._picker.picks(time_ns):
                if self._policy.hz is not None and self._times.fault and not frame.begins:
                    self.stamp_fault = self._times.fault
                    self.stamp_faults += 1
                return self._leave_out(item, self._policy.name)
            if self._limit is not None and not self._limit.admits(arrival_ns):
                if self._mode != HOLD:
                    return self._leave_out(item, self._mode)
                item.hold = True
            else:
                item.left_out_ns = max(time_ns - self._picked_ns - self._longest_ns, 0)
                self._picked_ns, self._longest_ns = time_ns, 0
            if self.waits:
                return self._append(item)
            if self._queue:
                if item.hold and not self._queue[-1].hold:
                    return self._leave_out(item, HOLD)
                self._replace(item)
            else:
                self._put(item)
            return not self._closed

    def refuse(self) -> None:
        """What came is no frame."""
        with self._turn:
            self.received += 1
            self.refused_in_a_row += 1
            self.dropped["refused"] += 1
            self._arrears.dropped += 1

    def finish(self) -> None:
        """No more frames come."""
        with self._turn:
            self.over = True
            self._turn.notify()

    # The worker's side, under its lock

    def take(self) -> Waiting:
        """The next frame; there is one. A reader that waits is woken when half of the queue is free, not for each."""
        item = self._queue.popleft()
        if self.blocked and len(self._queue) <= self._policy.depth // 2:
            self._room.notify()
        return item

    def give_up(self) -> None:
        """Nobody takes frames any more: `offer` does not wait, and says so."""
        self._closed = True
        self._queue.clear()
        self._room.notify_all()

    def set_mode(self, mode: str, hz: float) -> None:
        """`hz` inferences a second, at most; 0 for as many as the policy has."""
        with self._turn:
            self._mode = mode
            self._limit = RateLimit(hz) if hz else None

    def _time_ns(self, frame: SourceFrame, arrival_ns: int) -> int:
        """By which the policy goes; also keeps the longest step."""
        time_ns = arrival_ns
        if not self._live:
            time_ns = self._times.next(frame.stamp_ns, arrival_ns=arrival_ns, live=False)
        self._longest_ns = max(self._longest_ns, time_ns - self._last_ns)
        self._last_ns = time_ns
        return time_ns

    def _append(self, item: Waiting) -> bool:
        try:
            while len(self._queue) >= self._policy.depth and not self._closed:
                self.blocked = True
                self._room.wait()
        finally:
            self.blocked = False
        if self._closed:
            return False
        self._put(item)
        return True

    def _put(self, item: Waiting) -> None:
        if not self._queue:
            self.ready_since_ns = item.arrival_ns
        self._queue.append(item)
        self._turn.notify()

    def _replace(self, item: Waiting) -> None:
        """The newer frame takes the place of the one that waits, in the order of turns, too."""
        old = self._queue.pop().before
        old.dropped += 1
        item.before.follow(old)
        self.dropped["newest"] += 1
        self._queue.append(item)

    def _leave_out(self, item: Waiting, why: str) -> bool:
        self.dropped[why] += 1
        item.before.dropped += 1
        self._arrears = item.before
        return not self._closed
