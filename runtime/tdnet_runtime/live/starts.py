"""When one stream starts cold: looks at each frame before it is segmented, and keeps why its memory must be emptied."""

from __future__ import annotations

import logging
from collections import Counter

from tdnet_runtime.live.events import EventLog
from tdnet_runtime.live.gap import GapPolicy, SceneCuts
from tdnet_runtime.live.lane import Waiting
from tdnet_runtime.live.stamps import StampTimes

__all__ = ["AFTER_OUTAGES", "Starts"]

_NEW_CLOCK = ("start", "restart", "begins")  # reasons after which stamps begin anew
AFTER_OUTAGES = ("start", "restart", "gap", "failure")
"""Reasons before which there may have been no results for any time."""


class Starts:
    """The cold starts of one source's stream; see `GapPolicy` for their reasons.

    Args:
        name: of the source.
        gap: what is a reason besides those that always are.
        events: where to tell them, and stamps that are not believed.

    Attributes:
        due: why the memory must be emptied; stands until a frame was segmented.
        counts: cold starts so far, by their reasons.
        stamp_faults: stamps that were not believed.
    """

    def __init__(self, name: str, gap: GapPolicy, events: EventLog) -> None:
        self.due = "start"
        self.counts: Counter[str] = Counter()
        self.stamp_faults = 0
        self._name = name
        self._gap = gap
        self._events = events
        self._times = StampTimes()
        self._cuts = SceneCuts()
        self._size_hw: tuple[int, int] | None = None
        self._last: tuple[int, int] | None = None  # arrival and believed time of the last segmented frame
        self._lost = 0  # since the last segmented frame

    def lose(self, count: int) -> None:
        """So many frames are lost before the next one, which need not be segmented."""
        self._lost += count

    def end_holding(self, item: Waiting) -> bool:
        """This frame, which is to be answered with the last labels, is another picture: it has to be segmented."""
        if not (self._gap.on_cut and self._cuts.is_cut(item.frame.image)):
            return False
        self.due = self.due or "cut"
        return True

    def look_at(self, item: Waiting) -> int:
        """Decide whether the memory is to be emptied before this frame; gives the frame's believed time, in ns."""
        frame, gap = item.frame, self._gap
        reason = self.due if self.due == "start" else item.before.cold or self.due
        if reason in _NEW_CLOCK:
            self._times.forget()
        now_ns = self._times.next(frame.stamp_ns, arrival_ns=item.arrival_ns, live=item.live)
        if self._times.fault:
            self.stamp_faults += 1
            message = f"frame {frame.name!r}: {self._times.fault}; not believed"
            self._events.tell("stamp_fault", self._name, message)
        is_cut = gap.on_cut and self._cuts.is_cut(frame.image)
        if not reason and self._last is not None:
            arrival_ns, then_ns = self._last
            passed_ns = item.arrival_ns - arrival_ns if item.live else now_ns - then_ns
            gap_ms = (passed_ns - item.left_out_ns) / 1e6
            if self._size_hw != frame.image.shape[:2]:
                reason = "size"
            elif gap.after_ms is not None and gap_ms > gap.after_ms:
                reason = "gap"
            elif gap.on_lost and self._lost:
                reason = "lost"
            elif is_cut:
                reason = "cut"
        self.due = reason
        return now_ns

    def segmented(self, item: Waiting, now_ns: int) -> str:
        """This frame was, whose believed time is that; gives why the memory was emptied before it, or nothing."""
        reason, self.due = self.due, ""
        if reason:
            self.counts[reason] += 1
        if reason not in ("", "start"):
            self._events.tell("cold_start", self._name, f"starts cold: {reason}", level=logging.INFO)
        self._lost = 0
        self._size_hw = item.frame.image.shape[:2]
        self._last = (item.arrival_ns, now_ns)
        return reason
