"""Features before they are concatenated: full-resolution channels beside coarser maps.

TDNet's features x are a concatenation of a map at feature resolution and of coarse maps brought up
to it by bilinear interpolation. Both families feed 1×1 convolutions with x. A 1×1 convolution
commutes with the interpolation (spec §5), so x is never made: each part meets its own columns of
the weight first, and only the result is interpolated and added.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tdnet_export.identities import Array, interpolation_matrix
from tdnet_export.onnx_writer import GraphWriter
from tdnet_export.ops import conv, sampled

__all__ = ["CoarseMap", "SampledFeatures", "SplitFeatures", "write_projection"]


@dataclass(frozen=True, slots=True)
class CoarseMap:
    """A map [1, channels, *size_hw] that belongs at `first_channel` of the features."""

    value: str
    first_channel: int
    channels: int
    size_hw: tuple[int, int]


@dataclass(frozen=True, slots=True)
class SplitFeatures:
    """Features in parts: `fine` [1, fine_channels, h, w] from `fine_first` on, and the coarse maps."""

    fine: str
    fine_first: int
    fine_channels: int
    coarse: tuple[CoarseMap, ...]
    size_hw: tuple[int, int]

    def sampled(self, writer: GraphWriter, stride: int) -> SampledFeatures:
        """The same features at every stride-th row and column."""
        return SampledFeatures(self, sampled(writer, self.fine, stride, name="sampled"), stride)


@dataclass(frozen=True, slots=True)
class SampledFeatures:
    """`features` at every stride-th position; `fine` is its sampled fine part."""

    features: SplitFeatures
    fine: str
    stride: int


def write_projection(
    writer: GraphWriter,
    source: SplitFeatures | SampledFeatures,
    weight: Array,
    bias: Array,
    *,
    name: str,
    as_output: str | None = None,
) -> str:
    """1×1 convolution of the features: weight [O, C, 1, 1], bias [O] → [1, O, h, w] (or sampled)."""
    features, fine, stride = (
        (source, source.fine, 1)
        if isinstance(source, SplitFeatures)
        else (source.features, source.fine, source.stride)
    )
    with writer.scope(name):
        first = features.fine_first
        own = conv(writer, fine, weight[:, first : first + features.fine_channels], bias, name="fine")
        return writer.op("Add", own, _write_coarse(writer, features, weight, stride), as_output=as_output)


def _write_coarse(writer: GraphWriter, features: SplitFeatures, weight: Array, stride: int) -> str:
    """The sum of the coarse maps' projections, interpolated: along the width each, then along the height at once.

    Σᵢ Rᵢ·gᵢ·Cᵢᵀ = [R₁ R₂ …]·[g₁·C₁ᵀ; g₂·C₂ᵀ; …], one product instead of one for each map.
    """
    h, w = features.size_hw
    across = []
    for index, coarse in enumerate(features.coarse):
        part = weight[:, coarse.first_channel : coarse.first_channel + coarse.channels]
        with writer.scope(f"coarse{index}"):
            projected = conv(writer, coarse.value, part, name="project")
            columns = interpolation_matrix(coarse.size_hw[1], w)[::stride]
            across.append(writer.op("MatMul", projected, writer.weight("columns", columns.T), name="across"))
    stacked = across[0] if len(across) == 1 else writer.op("Concat", *across, name="stack", axis=2)
    rows = np.hstack([interpolation_matrix(coarse.size_hw[0], h)[::stride] for coarse in features.coarse])
    return writer.op("MatMul", writer.weight("rows", rows), stacked, name="down")
