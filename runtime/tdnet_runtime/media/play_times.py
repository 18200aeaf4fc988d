"""When a video shows its frames, by stamps of which some cannot be believed.

>>> times = PlayTimes(Fraction(25))
>>> [int(times.next(ns) / 10**6) for ns in (7 * 10**9, 7_050 * 10**6, 10**18, 10**18 + 30 * 10**6, 0)]
[0, 50, 90, 120, 160]
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

__all__ = ["LONGEST_STEP_S", "PlayTimes"]

LONGEST_STEP_S: Final = 3600
"""From one frame to the next; what is longer is a clock that was set, not a pause."""
_NS = 1_000_000_000
_LONGEST_NS = LONGEST_STEP_S * _NS
_FALLBACK_FPS = Fraction(25)


class PlayTimes:
    """Keeps the frames' distances by their stamps, from 0 on, as long as time goes forward, by an hour at most.

    Where it does not, the clock was set, a log begins again, or stamps stand still: such a frame comes as long after the
    one before as it arrived, or one period after it where that is not known. Those behind it keep their distances from
    there, or from where they would have been, where that is still ahead.

    Args:
        fps: of the video, whose inverse is the period; None where frames have no rate. Then the period is 1/25 s, and a
            frame with the stamp of the one before is its copy, if the one before had no such copy yet: it has its time.

    Attributes:
        fps: as given, or 25.
        period_ns: see above; an hour at most.
    """

    def __init__(self, fps: Fraction | None) -> None:
        self.fps = fps or _FALLBACK_FPS
        self.period_ns = min(_NS / self.fps, Fraction(_LONGEST_NS))
        self._copies = fps is None
        self._last: tuple[int, int | None] | None = None  # stamp and arrival
        self._advanced = False  # the last stamp came after that before it
        self._time_ns = self._shift_ns = Fraction(0)

    def next(self, stamp_ns: int, *, arrival_ns: int | None = None) -> Fraction:
        """The time of the next frame in ns, never less than that of the one before, and at most an hour later."""
        last, self._last = self._last, (stamp_ns, arrival_ns)
        if last is None:
            self._shift_ns = Fraction(-stamp_ns)
            return self._time_ns
        step_ns = stamp_ns - last[0]
        goes_on = 0 < step_ns <= _LONGEST_NS
        time_ns = stamp_ns + self._shift_ns
        if not 0 < time_ns - self._time_ns <= _LONGEST_NS:
            if goes_on:
                time_ns = self._time_ns + step_ns
                self._shift_ns = time_ns - stamp_ns
            elif step_ns == 0 and self._advanced and self._copies:
                time_ns = self._time_ns
            else:
                time_ns = self._time_ns + self._passed_ns(last[1], arrival_ns)
        self._advanced = goes_on
        self._time_ns = time_ns
        return time_ns

    def _passed_ns(self, then_ns: int | None, now_ns: int | None) -> Fraction:
        """Between two arrivals."""
        if then_ns is None or now_ns is None or not 0 < now_ns - then_ns <= _LONGEST_NS:
            return self.period_ns
        return Fraction(now_ns - then_ns)
