"""From input sizes to feature sizes and back (spec §2): strides round up, so eight sides share one feature side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdnet_runtime.errors import SizeError

if TYPE_CHECKING:
    from tdnet_models.variants import Variant

__all__ = ["checked_size", "exact_sizes", "feature_size_from_input", "suggested_size"]

_STRIDE = 8
_SIDES = range(_STRIDE * 5 + 1, _STRIDE * 1024 + 1)
"""That an input may have: six features at least, as the pyramid's finest grid is 6×6."""


def feature_size_from_input(size_hw: tuple[int, int]) -> tuple[int, int]:
    """(h, w) of the features of an H×W input: ⌈H/8⌉, ⌈W/8⌉."""
    height, width = size_hw
    return -(-height // _STRIDE), -(-width // _STRIDE)


def exact_sizes(feature_size: tuple[int, int]) -> tuple[range, range]:
    """All heights and all widths of inputs whose features are (h, w); LayerNorm maps of that size suit each alike."""
    heights, widths = (range(_STRIDE * (side - 1) + 1, _STRIDE * side + 1) for side in feature_size)
    return heights, widths


def suggested_size(variant: Variant, feature_size: tuple[int, int]) -> tuple[int, int]:
    """The (H, W) among the exact ones that the published sizes suggest: 8(h−1)+1, or 8h for FANet. A guess."""
    heights, widths = exact_sizes(feature_size)
    index = -1 if variant.family == "fanet" else 0
    return heights[index], widths[index]


def checked_size(
    variant: Variant, size_hw: tuple[int, int], *, maps: tuple[int, int] | None
) -> tuple[int, int]:
    """`size_hw`, where the network can take it.

    Args:
        variant: which network.
        size_hw: input (H, W).
        maps: (h, w) of the checkpoint's LayerNorm maps; None where it has none.

    Raises:
        SizeError: a side is outside the limits; the message names them, and the nearest size that keeps the maps.
    """
    if _possible(size_hw):
        return size_hw
    text = (
        f"{variant.name} cannot take an input of {_by(size_hw)}: sides are {_SIDES[0]} to {_SIDES[-1]}; "
        f"nearest: {_by(_nearest(size_hw, (_SIDES, _SIDES)))}"
    )
    if maps is not None:
        heights, widths = exact_sizes(maps)
        text += (
            f"; its LayerNorm maps {list(maps)} are kept at heights {heights[0]} to {heights[-1]} and widths "
            f"{widths[0]} to {widths[-1]} alone"
        )
        kept = _nearest(size_hw, (heights, widths))
        if _possible(kept):
            text += f", nearest: {_by(kept)}"
    raise SizeError(text)


def _possible(size_hw: tuple[int, int]) -> bool:
    return all(side in _SIDES for side in size_hw)


def _nearest(size_hw: tuple[int, int], allowed: tuple[range, range]) -> tuple[int, int]:
    height, width = (min(max(side, s[0]), s[-1]) for side, s in zip(size_hw, allowed, strict=True))
    return height, width


def _by(size_hw: tuple[int, int]) -> str:
    return f"{size_hw[0]}x{size_hw[1]}"
