"""How fast one stream goes, and how fast its degraded modes let it go."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

__all__ = ["Rates"]

_RATE_OVER = 32  # results
_LEAST_HZ = 0.1
_PAUSE_NS, _PAUSE = (
    1_000_000_000,
    8,
)  # a step from result to result that is longer, and so many times the usual one


class Rates:
    """The rate of one stream's inferences, and those that its modes allow."""

    def __init__(self) -> None:
        self._done_ns: deque[int] = deque(maxlen=_RATE_OVER)
        self._took_ns = 0  # the last inference
        self._allowed_hz: list[float] = []  # by each mode from the first to this one

    def note(self, started_ns: int, done_ns: int, *, anew: bool) -> None:
        """An inference began and ended; `anew`: what was before it, an outage perhaps, is of no account."""
        if anew:
            self._done_ns.clear()
        self._done_ns.append(done_ns)
        self._took_ns = done_ns - started_ns

    def fps(self, now_ns: int) -> float:
        """Inferences a second, over the last 32 at most, since the last pause; falls where no more come."""
        done = list(self._done_ns)
        steps = [then - before for before, then in pairwise(done)]
        if not steps:
            return 0.0
        pause_ns = max(_PAUSE * sorted(steps)[(len(steps) - 1) // 2], _PAUSE_NS)
        for index in reversed(range(len(steps))):
            if steps[index] > pause_ns:
                steps = steps[index + 1 :] or steps[:index]
                break
        return len(steps) * 1e9 / max(sum(steps) + now_ns - done[-1], 1)

    def allowed_hz(self, step: int, *, halves: bool, now_ns: int) -> float:
        """Inferences a second that the mode allows, at most; 0 for no limit.

        Args:
            step: how many modes it is away from full; one more or less than the last time.
            halves: it is one of half the rate; where it comes back, the rate is the same one again.
            now_ns: of the change.
        """
        before_hz = self._allowed_hz[-1] if self._allowed_hz else 0.0
        hz = self.fps(now_ns) or 1e9 / max(self._took_ns, 1)
        here_hz = max(hz / 2, _LEAST_HZ) if halves else before_hz
        self._allowed_hz = [*self._allowed_hz, here_hz][:step]
        return self._allowed_hz[-1] if step else 0.0
