"""Stamps of a log's frames, and the frames that their stamps and numbers tell to be missing."""

from __future__ import annotations

from collections import deque
from statistics import median_low

__all__ = ["LogTimes", "MissingFrames"]

_STEPS = 32
_LEAST_STEPS = 8
_MOST_MISSING = 100_000


class LogTimes:
    """Strictly increasing stamps, by the header where that can be, else by the time of recording.

    A stamp of 0, or one that does not come after the one before, changes over to the time of recording for good, which
    goes on from the last stamp: headers may count from a robot's start or a simulation's, recordings from 1970.
    """

    def __init__(self) -> None:
        self.warning: str | None = None
        self._given = 0
        self._last_ns: int | None = None
        self._last_log_ns = 0
        self._shift_ns = 0

    @property
    def source(self) -> str:
        """Where the stamps are from, in words."""
        return "header" if self.warning is None else "time of recording"

    def next(self, header_ns: int, log_ns: int) -> int:
        """The stamp of the next message."""
        last_ns = self._last_ns
        if self.warning is None and (header_ns == 0 or (last_ns is not None and header_ns <= last_ns)):
            why = "is 0" if header_ns == 0 else "does not come after the one before"
            self.warning = f"the header's stamp of message {self._given} {why}: from there on the time of recording is used"
            if last_ns is not None:
                self._shift_ns = last_ns + max(1, log_ns - self._last_log_ns) - log_ns
        stamp_ns = header_ns if self.warning is None else log_ns + self._shift_ns
        if last_ns is not None and stamp_ns <= last_ns:
            stamp_ns = last_ns + 1
        self._last_ns, self._last_log_ns = stamp_ns, log_ns
        self._given += 1
        return stamp_ns


class MissingFrames:
    """How many frames are missing before each, as far as numbers or stamps tell.

    Numbers are believed after eight steps of one in a row. Stamps tell where a step is half as long again as is usual or
    more, which is the median of the last 32.

    Attributes:
        by_number: the last answer is that of the numbers.
    """

    def __init__(self) -> None:
        self._steps_ns: deque[int] = deque(maxlen=_STEPS)
        self._last_ns: int | None = None
        self._last_number: int | None = None
        self._steps_of_one = 0
        self.by_number = False

    def before(self, stamp_ns: int, number: int) -> int:
        """Frames missing before the one with this stamp and its sender's number (0 where nobody counts)."""
        counted = self._by_number(number)
        by_stamp = 0
        if self._last_ns is not None:
            step_ns = stamp_ns - self._last_ns
            if len(self._steps_ns) >= _LEAST_STEPS:
                usual_ns = median_low(self._steps_ns)
                if usual_ns > 0 and 2 * step_ns >= 3 * usual_ns:
                    by_stamp = max(1, round(step_ns / usual_ns) - 1)
            self._steps_ns.append(step_ns)
        self._last_ns = stamp_ns
        self.by_number = counted is not None
        return min(by_stamp if counted is None else counted, _MOST_MISSING)

    def _by_number(self, number: int) -> int | None:
        """None where numbers are not believed."""
        last, self._last_number = self._last_number, number
        step = 0 if last is None else number - last
        believed = self._steps_of_one >= _LEAST_STEPS
        if step == 1:
            self._steps_of_one += 1
        elif not believed or step < 1:
            self._steps_of_one = 0
            return None
        return step - 1 if believed else None
