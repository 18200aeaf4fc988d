"""How many messages were lost before one: by sequence numbers, or by stamps where there are none.

>>> gaps = SequenceGaps()
>>> [gaps.before(b"camera", number) for number in (1, 2, 5, 6)]
[0, 0, 2, 0]
>>> gaps.before(b"camera, started again", 1)
0
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque

__all__ = ["SequenceGaps", "StampGaps"]

_MOST_SENDERS = 16
_RESTART = 1_000_000  # a jump by more is no loss
_STEPS = 9
_FEWEST_STEPS = 4
_TOLERANCE = 0.25
_MOST_OVER = 0.75
_PAUSE_NS = 10_000_000_000


class SequenceGaps:
    """Counts by the numbers that each sender gives its messages; a smaller number is a sender that began again."""

    def __init__(self) -> None:
        self._last: OrderedDict[bytes, int] = OrderedDict()

    def before(self, sender: bytes, number: int) -> int:
        """Messages of `sender` missing directly before this one; 0 for its first."""
        last = self._last.pop(sender, None)
        self._last[sender] = number
        if len(self._last) > _MOST_SENDERS:
            self._last.popitem(last=False)
        missing = 0 if last is None else number - last - 1
        return missing if 0 < missing < _RESTART else 0


class StampGaps:
    """Counts by stamps, of a camera with a steady rate: a step of two periods says that one frame is missing.

    The period is the median of the last nine steps, so that less than half of the frames may be lost. One that is stamped
    late is followed by a shorter step, so a step must be a quarter short of two periods at most, and half of what it is
    longer than a whole number of them is added to the next. After a change of the rate the first five steps are counted
    wrongly; a step of more than ten seconds is a pause of the camera.

    >>> gaps = StampGaps()
    >>> [gaps.before(ms * 1_000_000) for ms in (0, 33, 67, 100, 133, 187, 200, 300, 333)]
    [0, 0, 0, 0, 0, 0, 0, 2, 0]
    """

    def __init__(self) -> None:
        self._last: int | None = None
        self._steps: deque[int] = deque(maxlen=_STEPS)
        self._over = 0.0  # in periods

    def before(self, stamp_ns: int) -> int:
        """Frames missing directly before this one; 0 until the period is known."""
        last, self._last = self._last, stamp_ns
        if last is None or not 0 < stamp_ns - last < _PAUSE_NS:
            self._over = 0.0
            return 0
        step = stamp_ns - last
        periods = 1
        if len(self._steps) >= _FEWEST_STEPS:
            length = step / sorted(self._steps)[len(self._steps) // 2] + self._over
            periods = max(math.floor(length + _TOLERANCE), 1)
            self._over = min(max(length - periods, -_MOST_OVER), _MOST_OVER) / 2
        self._steps.append(step)
        return periods - 1
