"""The time between frames, by their stamps as far as these can be believed.

>>> times = StampTimes()
>>> [times.next(ns, arrival_ns=i * 33, live=True) for i, ns in enumerate((1000, 1033, 900, 933))]
[0, 33, 66, 99]
>>> times.fault
''
"""

from __future__ import annotations

__all__ = ["StampTimes"]

_SLOWER, _IN_A_ROW = 50, 10  # times as slow as a slow simulation may be, for so many steps

_AHEAD_NS = (
    2_000_000_000  # by which stamps of a live source may run ahead of the clock: buffers, slow networks
)


class StampTimes:
    """Adds up the steps from stamp to stamp. A step that cannot be is told, and the arrivals' step taken for it.

    It cannot be 0 or less (the sender's clock was set back, or it stamps twice), nor, in a live source, two seconds more
    than has passed since the frame before arrived (it was set forward), nor, there, be less than a fiftieth of that time,
    as the ten before it (stamps of another unit, such as microseconds). The frames' own stamps stay as they are.

    Attributes:
        fault: of the last step, in words; empty where it was believed.
    """

    def __init__(self) -> None:
        self.fault = ""
        self._time_ns = 0
        self._last: tuple[int, int] | None = None
        self._slow = 0  # steps in a row, up to this one

    def forget(self) -> None:
        """The next frame's stamp may be anything."""
        self._last = None

    def next(self, stamp_ns: int, *, arrival_ns: int, live: bool) -> int:
        """The time of the next frame, in ns from the first one's; never less than the one before."""
        last, self._last = self._last, (stamp_ns, arrival_ns)
        self.fault = ""
        if last is None:
            return self._time_ns
        step_ns, passed_ns = stamp_ns - last[0], max(arrival_ns - last[1], 0)
        self._slow = self._slow + 1 if 0 < step_ns * _SLOWER < passed_ns else 0
        if step_ns <= 0:
            self.fault = (
                f"its stamp is {-step_ns / 1e6:g} ms before the last one's"
                if step_ns
                else "it has the last one's stamp"
            )
            step_ns = passed_ns
        elif live and step_ns > passed_ns + _AHEAD_NS:
            self.fault = f"its stamp is {step_ns / 1e6:g} ms after the last one's, it came {passed_ns / 1e6:g} ms after it"
            step_ns = passed_ns
        elif live and self._slow > _IN_A_ROW:
            self.fault = f"stamps go on {passed_ns / step_ns:.0f} times as slowly as frames come"
            step_ns = passed_ns
        self._time_ns += step_ns
        return self._time_ns
