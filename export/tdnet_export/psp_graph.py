"""Pyramid pooling in graphs (spec §2, §5): separable pooling matrices, and only the channels that are kept."""

from __future__ import annotations

import numpy as np

from tdnet_export.features import CoarseMap, SplitFeatures
from tdnet_export.identities import interpolation_matrix, pooling_matrix
from tdnet_export.onnx_writer import GraphWriter
from tdnet_export.ops import conv, separable
from tdnet_export.weights import Weights
from tdnet_models.psp import POOL_SIZES
from tdnet_models.variants import NetworkSpec

__all__ = ["write_concatenated_pyramid", "write_pooled", "write_pyramid"]


def write_pooled(writer: GraphWriter, x: str, *, size_hw: tuple[int, int]) -> list[str]:
    """Averages of [1, C, h, w] over each grid of `POOL_SIZES`: one product along the width for all grids."""
    h, w = size_hw
    columns = np.vstack([pooling_matrix(w, grid) for grid in POOL_SIZES])  # [12, w]
    with writer.scope("pool"):
        across = writer.op("MatMul", x, writer.weight("columns", columns.T), name="across")
        bounds = np.cumsum([0, *POOL_SIZES])
        pooled = []
        for grid, start, stop in zip(POOL_SIZES, bounds, bounds[1:], strict=False):
            with writer.scope(f"grid{grid}"):
                part = _channels(writer, across, int(start), int(stop), axis=3)
                rows = writer.weight("rows", pooling_matrix(h, grid))
                pooled.append(writer.op("MatMul", rows, part, name="down"))
    return pooled


def write_pyramid(
    writer: GraphWriter, x: str, *, spec: NetworkSpec, weights: Weights, module: str, group: int | None
) -> SplitFeatures:
    """Trunk output [1, C, h, w] → the features of `psp{i}` in parts; with `group` None all channels are kept."""
    channels, size_hw = spec.trunk_channels[3], spec.feature_size
    halves = 1 if group is None else 2
    kept, branch = channels // halves, channels // 4 // halves
    half = group or 0
    with writer.scope("pyramid"):
        pooled = write_pooled(writer, x, size_hw=size_hw)
        coarse = []
        for number, (value, grid) in enumerate(zip(pooled, POOL_SIZES, strict=True), start=1):
            weight, bias = weights.conv(f"{module}.conv{number}.0", f"{module}.conv{number}.1")
            assert bias is not None  # a BatchNorm was folded
            own = slice(half * branch, (half + 1) * branch)
            value = conv(writer, value, weight[own], bias[own], name=f"branch{grid}", activation="relu")
            coarse.append(CoarseMap(value, kept + (number - 1) * branch, branch, (grid, grid)))
        fine = x if group is None else _channels(writer, x, half * kept, (half + 1) * kept, axis=1)
    return SplitFeatures(fine, 0, kept, tuple(coarse), size_hw)


def write_concatenated_pyramid(writer: GraphWriter, features: SplitFeatures) -> str:
    """The features as one map [1, C, h, w], for a 3×3 convolution, which does not commute."""
    h, w = features.size_hw
    parts = [features.fine]
    for coarse in features.coarse:
        rows, columns = (
            interpolation_matrix(side, full) for side, full in zip(coarse.size_hw, (h, w), strict=True)
        )
        name = f"upsample{coarse.size_hw[0]}"
        parts.append(separable(writer, coarse.value, rows, columns, name=name))
    return writer.op("Concat", *parts, name="pyramid", axis=1)


def _channels(writer: GraphWriter, x: str, start: int, stop: int, *, axis: int) -> str:
    with writer.scope("kept"):
        return writer.op(
            "Slice",
            x,
            writer.integers("start", [start]),
            writer.integers("stop", [stop]),
            writer.integers("axis", [axis]),
        )
