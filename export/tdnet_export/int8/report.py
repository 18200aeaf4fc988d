"""What the quantisation measured, as it lies in the bundle."""

from __future__ import annotations

import msgspec

__all__ = ["GraphLoss", "Int8Report"]


class GraphLoss(msgspec.Struct, frozen=True, kw_only=True):
    """One graph, on calibration frames, its inputs being FP32's.

    Attributes:
        graph: its name.
        samples: that it was calibrated with.
        errors: by output: ‖Δ‖ / ‖FP32 − its mean‖, over all samples that were measured.
        groups: by group of nodes that was looked at: the largest such error of one sample with nothing else in INT8;
            empty where the graph as a whole was good enough.
        left_single: groups that were left in FP32, the worst first.
        int8_share: of the multiplications.
    """

    graph: str
    samples: int
    errors: dict[str, float]
    groups: dict[str, float]
    left_single: tuple[str, ...]
    int8_share: float


class Int8Report(msgspec.Struct, frozen=True, kw_only=True):
    """All graphs of a bundle.

    Attributes:
        schema_version: of this report.
        tool: that quantised, and its version.
        clips: runs of consecutive frames in the calibration footage, one frame for each path.
        frames: in all of them.
        max_error: that a graph was to hold.
        graphs: in the order of the bundle.
    """

    schema_version: int
    tool: str
    clips: int
    frames: int
    max_error: float
    graphs: tuple[GraphLoss, ...]
