"""How fast one stream goes, and how fast its degraded modes let it go."""

from __future__ import annotations

from collections import deque

__all__ = ["Rates"]

_RATE_OVER = 32  # results
_LEAST_HZ = 0.1


class Rates:
    """The rate of one stream's inferences, and those that its modes allow."""

    def __init__(self) -> None:
        self._done_ns: deque[int] = deque(maxlen=_RATE_OVER)
        self._allowed_hz: list[float] = []  # by each mode from the first to this one

    def note(self, done_ns: int) -> None:
        """An inference ended."""
        self._done_ns.append(done_ns)

    def fps(self, now_ns: int) -> float:
        """Inferences a second, over the last 32; falls where no more come."""
        done = list(self._done_ns)
        if len(done) < 2:
            return 0.0
        return (len(done) - 1) * 1e9 / max(now_ns - done[0], 1)

    def allowed_hz(self, step: int, *, halves: bool, now_ns: int) -> float:
        """Inferences a second that the mode allows, at most; 0 for no limit.

        Args:
            step: how many modes it is away from full; one more or less than the last time.
            halves: it is one of half the rate; where it comes back, the rate is the same one again.
            now_ns: of the change.
        """
        before_hz = self._allowed_hz[-1] if self._allowed_hz else 0.0
        here_hz = max(self.fps(now_ns) / 2, _LEAST_HZ) if halves else before_hz
        self._allowed_hz = [*self._allowed_hz, here_hz][:step]
        return self._allowed_hz[-1] if step else 0.0
