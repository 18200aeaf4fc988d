"""What the live layer hands out for a frame: its labels, and all that tells how far they can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tdnet_runtime.media.frames import SourceFrame

__all__ = ["LiveResult"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LiveResult:
    """One frame's labels. All who receive it share its arrays: read them, copy what is to be changed.

    Attributes:
        source: its name, as the `LiveSegmenter` was given it.
        frame: as the source gave it.
        labels: uint8 [H, W] of the frame's own size, class indices; read-only.
        confidence: uint8 [H, W], the softmax share of the label, 255 for 1; read-only. None where the bundle has none.
        path: the sub-network that made the labels, 1 to m.
        cold: the labels use no attention: the memory was empty, or (mode `no_attention`) left alone.
        frame_index: of the frame that made the labels; 0 for the first one after a cold start.
        stamp_ns: the frame's, as the source gave it.
        memory_age_ms: of each frame whose entry the attention read, oldest first, against this frame by stamps that can
            be believed; empty where `cold`.
        dropped: frames of this source directly before this one that gave no result: left out by the policy or a degraded
            mode, lost before they came, refused, failed, or late and skipped.
        late: it took longer than the stream's deadline from the frame's arrival to here.
        mode: `full`, or the degraded mode that the stream was in.
        stage_ms: `wait` (arrival to inference), `infer`, `deliver` (from there to whoever has this result), and for
            sources that are not live `decode`.
        cold_start: why the memory was emptied before this frame; empty where it was not. See `GapPolicy`.
        labels_age_ms: by how much older than this frame the one is that made the labels; 0 but in mode `hold`, where
            it is `Deadline.hold_ms` at most.
    """

    source: str
    frame: SourceFrame
    labels: npt.NDArray[np.uint8]
    confidence: npt.NDArray[np.uint8] | None
    path: int
    cold: bool
    frame_index: int
    stamp_ns: int
    memory_age_ms: tuple[float, ...]
    dropped: int
    late: bool
    mode: str
    stage_ms: Mapping[str, float]
    cold_start: str = ""
    labels_age_ms: float = 0.0

    @property
    def latency_ms(self) -> float:
        """From the frame's arrival to its labels, without `deliver`."""
        return self.stage_ms["wait"] + self.stage_ms["infer"]
