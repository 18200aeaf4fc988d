"""Stamps of results by the time of day, which other programs' logs and messages have."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tdnet_runtime.live.result import LiveResult

__all__ = ["DayStamps"]

_SAME_CLOCK_NS = 60_000_000_000


class DayStamps:
    """Stamps for all that one sink makes of a result.

    Cameras' frames are stamped when they arrive, by the clock that counts since the machine's start. Stamps of files, logs
    and ROS headers stay as they are.
    """

    def __init__(self) -> None:
        self._result: LiveResult | None = None
        self._stamp_ns = 0

    def of(self, result: LiveResult) -> int:
        """Its stamp in ns; the same for the same result."""
        if result is not self._result:
            frame, stamp_ns = result.frame, result.stamp_ns
            arrival_ns = frame.arrival_ns
            if not frame.frame_id and arrival_ns is not None and abs(stamp_ns - arrival_ns) < _SAME_CLOCK_NS:
                stamp_ns += time.time_ns() - time.monotonic_ns()
            self._result, self._stamp_ns = result, stamp_ns
        return self._stamp_ns
