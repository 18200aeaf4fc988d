"""Which frames of a live stream are new, and which only waited to be read."""

from __future__ import annotations

from fractions import Fraction

__all__ = ["Freshness"]

_NS = 1_000_000_000
_FALLBACK_NS = 40_000_000
_LEAST_SLACK_NS = 50_000_000
_LONGEST_SKIP_NS = 2 * _NS


class Freshness:
    """Tells frames that keep pace with the clock from those that come in a burst.

    A frame that had to be waited for is new. One that was there at once is new where it lags no more than a period and
    a half behind the last one that was waited for. After opening a camera about a second of frames is there at once, and
    after a pause of the reader those of the pause; whoever gives them all stays late. Clocks that drift do not matter.

    Args:
        fps: of the stream, for frames without a time; None for 25.
    """

    def __init__(self, fps: Fraction | None) -> None:
        self._period_ns = round(_NS / fps) if fps else _FALLBACK_NS
        self._last_ns: int | None = None  # the last frame's time by the sender
        self._lead_ns: int | None = None  # arrival less time, of the last frame that was waited for
        self._given_ns: int | None = None

    def is_new(self, time_ns: int | None, *, waited_ns: int, arrival_ns: int) -> bool:
        """Whether to give a frame.

        Args:
            time_ns: of its presentation; None where it has none.
            waited_ns: for how long nothing was there to be read.
            arrival_ns: when it was there.
        """
        last_ns = self._last_ns
        if time_ns is None:
            time_ns = 0 if last_ns is None else last_ns + self._period_ns
        step_ns = self._period_ns if last_ns is None else min(max(time_ns - last_ns, 0), _NS)
        self._last_ns = time_ns
        if self._given_ns is None:
            self._given_ns = arrival_ns
        lead_ns = arrival_ns - time_ns
        if 2 * waited_ns >= step_ns and last_ns is not None:
            self._lead_ns = lead_ns
            new = True
        else:
            slack_ns = max(_LEAST_SLACK_NS, 3 * step_ns // 2)
            new = self._lead_ns is not None and lead_ns - self._lead_ns <= slack_ns
        # Where decoding does not keep up there is nothing to wait for; some frame is better than none.
        new |= arrival_ns - self._given_ns >= _LONGEST_SKIP_NS
        if new:
            self._given_ns = arrival_ns
        return new
