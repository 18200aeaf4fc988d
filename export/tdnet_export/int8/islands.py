"""Which nodes of an INT8 graph stay FP32, whatever is measured, and why."""

from __future__ import annotations

from tdnet_export.precision import Island

__all__ = ["INT8_ISLANDS", "single_weights", "stays_single"]

INT8_ISLANDS: tuple[Island, ...] = (
    Island(r"normalise/.*", "the pixels are 8-bit numbers already; another scale would round them once more"),
    Island(
        r"pyramid/.*",
        "averages of up to all positions: on processors without VNNI their 16-bit sums saturate (the error of V was "
        "12 % instead of 4 %), and they are next to no work",
    ),
    Island(r"upsample\d+/.*", "interpolation of the pyramid's averages, as the pyramid"),
    Island(
        r"encode/(.*/)?(coarse\d+/.*|stack|down)",
        "interpolation of the few coarse positions: as the pyramid",
    ),
    Island(
        r"neck/ffm_\d+/((query|key)/.*|context|mixed|mixed_map|latlayer3/.*|coarser)",
        "unit vectors, and sums over all positions that nothing divides: their ranges differ from frame to frame; "
        "and interpolation",
    ),
    Island(
        r"hop\d+/.*",
        "attention: the shares of over a thousand positions are all smaller than one step of INT8",
    ),
    Island(
        r"recomposed|layer_norm/.*", "mean and variance over all positions, of what the attention changes"
    ),
    Island(r"upsample|argmax|plane|above|to_float|to_uint8", "no sums"),
    Island(r"confidence/.*", "shares of classes, most of which are smaller than one step of INT8"),
)

_CLASSES = Island(
    r"(.*/)?classes/conv",
    "its results are compared, class by class, and it is next to no work; but that what it reads is in steps lets "
    "engines compute the convolution before it in INT8 from end to end",
)


def stays_single(node: str) -> bool:
    """True where the node of that name stays FP32."""
    return any(island.covers(node) for island in INT8_ISLANDS)


def single_weights(node: str) -> bool:
    """True where the node of that name has FP32 weights; in graphs for TensorRT it stays FP32 altogether."""
    return _CLASSES.covers(node)
