"""FANet's neck in graphs (spec §2, td2-fa18)."""

from __future__ import annotations

from tdnet_export.features import CoarseMap, SplitFeatures
from tdnet_export.onnx_writer import GraphWriter
from tdnet_export.ops import conv, reshape, resize
from tdnet_export.weights import Weights
from tdnet_models.variants import NetworkSpec

__all__ = ["level_sizes", "write_neck"]

_EPS = 1e-12


def level_sizes(spec: NetworkSpec) -> list[tuple[int, int]]:
    """(h, w) of the trunk's four maps: each stride-2 layer halves, rounding up."""
    sizes = [spec.feature_size]
    for _ in range(3):
        h, w = sizes[-1]
        sizes.append(((h + 1) // 2, (w + 1) // 2))
    return sizes


def write_neck(
    writer: GraphWriter, maps: list[str], *, spec: NetworkSpec, weights: Weights, path: int
) -> SplitFeatures:
    """Outputs of layer1 to layer4 → the features z in parts: concat(upsampled smooth of level 16, smooth of level 4)."""
    at_8, at_16, at_32, at_64 = level_sizes(spec)
    channels = spec.trunk_channels
    with writer.scope("neck"):
        x = _write_level(
            writer, maps[3], None, weights=weights, module=f"ffm_32_{path}", shape=(channels[3], *at_64)
        )
        up = _write_leaky(writer, x, weights=weights, module=f"ffm_32_{path}.up", name="up32", padding=1)
        x = _write_level(
            writer, maps[2], up, weights=weights, module=f"ffm_16_{path}", shape=(channels[2], *at_32)
        )
        coarse = _write_leaky(writer, x, weights=weights, module=f"ffm_16_{path}.smooth", name="smooth16")
        up = _write_leaky(writer, x, weights=weights, module=f"ffm_16_{path}.up", name="up16", padding=1)
        x = _write_level(
            writer, maps[1], up, weights=weights, module=f"ffm_8_{path}", shape=(channels[1], *at_16)
        )
        up = _write_leaky(writer, x, weights=weights, module=f"ffm_8_{path}.up", name="up8", padding=1)
        x = _write_level(
            writer, maps[0], up, weights=weights, module=f"ffm_4_{path}", shape=(channels[0], *at_8)
        )
        fine = _write_leaky(writer, x, weights=weights, module=f"ffm_4_{path}.smooth", name="smooth4")
    return SplitFeatures(
        fine, spec.neck, spec.neck, (CoarseMap(coarse, 0, spec.neck, at_32),), spec.feature_size
    )


def _write_leaky(
    writer: GraphWriter, x: str, *, weights: Weights, module: str, name: str, padding: int | None = None
) -> str:
    return conv(writer, x, *weights.conv_norm(module), name=name, padding=padding, activation="leaky")


def _write_level(
    writer: GraphWriter,
    x: str,
    coarser: str | None,
    *,
    weights: Weights,
    module: str,
    shape: tuple[int, int, int],
) -> str:
    """One fast attention: x + latlayer3(q·(kᵀ·v)) + the coarser level's `up`, all [1, C, h, w]."""
    channels, h, w = shape
    with writer.scope(module.rsplit("_", 1)[0]):
        query = _write_unit_rows(writer, x, weights=weights, module=f"{module}.w_qs", name="query")
        key = _write_unit_rows(writer, x, weights=weights, module=f"{module}.w_ks", name="key")
        value = _write_leaky(writer, x, weights=weights, module=f"{module}.w_vs", name="value")
        value = reshape(writer, value, [channels, -1], name="value_rows")
        context = writer.op("Gemm", value, key, name="context", transB=1)  # [C, 32]
        mixed = writer.op("MatMul", context, query, name="mixed")  # [C, hw]
        mixed = reshape(writer, mixed, [1, channels, h, w], name="mixed_map")
        mixed = _write_leaky(writer, mixed, weights=weights, module=f"{module}.latlayer3", name="latlayer3")
        x = writer.op("Add", x, mixed)
        if coarser is None:
            return x
        return writer.op("Add", x, resize(writer, coarser, [1, channels, h, w], name="coarser"))


def _write_unit_rows(writer: GraphWriter, x: str, *, weights: Weights, module: str, name: str) -> str:
    """Convolution to 32 channels, scaled to unit length at each position: [32, hw]."""
    weight, bias = weights.conv_norm(module)
    y = conv(writer, x, weight, bias, name=name)
    with writer.scope(name):
        rows = reshape(writer, y, [weight.shape[0], -1], name="rows")
        length = writer.op("ReduceL2", rows, axes=[0], keepdims=1)
        length = writer.op("Max", length, writer.weight("eps", [[_EPS]]))
        return writer.op("Div", rows, length)
