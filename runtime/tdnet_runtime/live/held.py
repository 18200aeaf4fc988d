"""The last labels of one stream, as answers to the frames of mode `hold` that are not segmented."""

from __future__ import annotations

from dataclasses import replace

from tdnet_runtime.live.deadline import HOLD
from tdnet_runtime.live.lane import Waiting
from tdnet_runtime.live.result import LiveResult

__all__ = ["HeldLabels"]


class HeldLabels:
    """There are none before the first frame was segmented, nor after they were forgotten.

    Args:
        limit_ms: older ones are no answer.

    Attributes:
        outdated: frames that had none because of that.
    """

    def __init__(self, limit_ms: float) -> None:
        self.outdated = 0
        self._limit_ms = limit_ms
        self._last: tuple[LiveResult, int] | None = None  # and its frame's arrival

    def keep(self, result: LiveResult, *, arrival_ns: int) -> None:
        """The labels to hold from now on."""
        self._last = (result, arrival_ns)

    def forget(self) -> None:
        """They may be wrong by now: the memory is emptied, or the engine failed."""
        self._last = None

    def fit(self, item: Waiting) -> bool:
        """There are labels of the frame's own video and size."""
        return (
            self._last is not None
            and not item.before.cold
            and item.frame.image.shape[:2] == self._last[0].labels.shape
        )

    def answer(
        self, item: Waiting, *, dropped: int, late: bool, stage_ms: dict[str, float]
    ) -> LiveResult | None:
        """The result of a frame that they fit; None where they are too old for it."""
        assert self._last is not None
        last, arrival_ns = self._last
        age_ns = item.frame.stamp_ns - last.stamp_ns
        if item.live or age_ns <= 0:  # its stamps do not go on
            age_ns = item.arrival_ns - arrival_ns
        age_ms = max(age_ns, 0) / 1e6
        if age_ms > self._limit_ms:
            self.outdated += 1
            return None
        return replace(
            last,
            frame=item.frame,
            stamp_ns=item.frame.stamp_ns,
            memory_age_ms=tuple(then_ms + age_ms for then_ms in last.memory_age_ms),
            dropped=dropped,
            late=late,
            mode=HOLD,
            stage_ms=stage_ms,
            cold_start="",
            labels_age_ms=age_ms,
        )
