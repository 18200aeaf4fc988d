"""Presentation times of a video's frames, strictly increasing."""

from __future__ import annotations

from fractions import Fraction

from av.video.frame import VideoFrame

__all__ = ["TimeStamps"]

_NS = 1_000_000_000
_DISCONTINUITY_NS = _NS  # what runs further back than this is another recording, not an inaccuracy


class TimeStamps:
    """Turns the frames' own times into nanoseconds, strictly increasing.

    A frame without a time comes one period after the one before. Times that run back by more than a second,
    as where recordings were joined, go on one period after the one before; others that do not increase are
    put a nanosecond after it.

    Args:
        fps: frames per second, for frames without a time; 25 where None.

    Attributes:
        disorder: frames whose own time did not come after the one before.
    """

    def __init__(self, fps: Fraction | None) -> None:
        self.period_ns = round(_NS / (fps or Fraction(25)))
        self.disorder = 0
        self._last_ns: int | None = None
        self._shift_ns = 0
        self._steps_ns: tuple[int, int] | None = None

    def next(self, frame: VideoFrame) -> int:
        """The time of `frame`, which follows the one given before."""
        last_ns = self._last_ns
        following_ns = 0 if last_ns is None else last_ns + self.period_ns
        if frame.pts is None or frame.time_base is None:
            stamp_ns = following_ns
        else:
            stamp_ns = _ns_from_ticks(frame.pts, frame.time_base) + self._shift_ns
            if last_ns is not None and stamp_ns <= last_ns:
                self.disorder += 1
                if last_ns - stamp_ns > _DISCONTINUITY_NS:
                    self._shift_ns += following_ns - stamp_ns
                    stamp_ns = following_ns
                else:
                    stamp_ns = last_ns + 1
        if last_ns is not None:
            least, most = self._steps_ns or (stamp_ns - last_ns,) * 2
            self._steps_ns = min(least, stamp_ns - last_ns), max(most, stamp_ns - last_ns)
        self._last_ns = stamp_ns
        return stamp_ns

    def duration_ns(self, frame: VideoFrame) -> int:
        """For how long `frame` is shown: by the file, or one period where it says nothing or next to nothing."""
        if frame.time_base is None:
            return self.period_ns
        told_ns = _ns_from_ticks(frame.duration, frame.time_base)
        return told_ns if 2 * told_ns >= self.period_ns else self.period_ns

    @property
    def facts(self) -> dict[str, float | int]:
        """The shortest and the longest step between frames so far, in seconds, and disorder where there was any."""
        facts: dict[str, float | int] = {}
        if self._steps_ns is not None:
            least, most = self._steps_ns
            facts = {"shortest_step_s": round(least / _NS, 6), "longest_step_s": round(most / _NS, 6)}
        if self.disorder:
            facts["frames_out_of_time_order"] = self.disorder
        return facts


def _ns_from_ticks(ticks: int, time_base: Fraction) -> int:
    """To the nearest; in whole numbers, since fractions take a tenth of the time that decoding takes."""
    den = time_base.denominator
    return (2 * ticks * time_base.numerator * _NS + den) // (2 * den)
