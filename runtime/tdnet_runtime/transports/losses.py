"""How many messages were lost before one: by sequence numbers, or by stamps where there are none.

>>> gaps = SequenceGaps()
>>> [gaps.before(b"camera", number) for number in (1, 2, 5, 6)]
[0, 0, 2, 0]
>>> gaps.before(b"camera, started again", 1)
0
"""

from __future__ import annotations

from collections import OrderedDict, deque

__all__ = ["SequenceGaps", "StampGaps"]

_MOST_SENDERS = 16
_RESTART = 1_000_000  # a jump by more is no loss
_STEPS = 16
_FEWEST_STEPS = 4
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

    The period is the lower quartile of the last 16 steps, so that it holds while up to two of three frames are lost. A
    step of more than ten seconds is a pause of the camera. After a change of its rate, the first steps are counted wrongly.

    >>> gaps = StampGaps()
    >>> [gaps.before(ms * 1_000_000) for ms in (0, 33, 67, 100, 133, 167, 267, 300)]
    [0, 0, 0, 0, 0, 0, 2, 0]
    """

    def __init__(self) -> None:
        self._last: int | None = None
        self._steps: deque[int] = deque(maxlen=_STEPS)

    def before(self, stamp_ns: int) -> int:
        """Frames missing directly before this one; 0 until the period is known."""
        last, self._last = self._last, stamp_ns
        if last is None or not 0 < stamp_ns - last < _PAUSE_NS:
            return 0
        step = stamp_ns - last
        missing = 0
        if len(self._steps) >= _FEWEST_STEPS:
            period = sorted(self._steps)[len(self._steps) // 4]
            missing = max((2 * step + period) // (2 * period) - 1, 0)
        self._steps.append(step)
        return missing
