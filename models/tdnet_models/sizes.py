"""Which input sizes a network can take (spec §2: sizes follow from the feature maps)."""

from __future__ import annotations

from tdnet_models.variants import Variant
from tdnet_runtime.errors import SizeError

__all__ = ["feature_size_from_input"]

_SMALLEST_FEATURES = 6  # the pyramid's finest grid is 6×6, FANet's coarsest level is 8 times smaller
_LARGEST_SIDE = 8192


def feature_size_from_input(variant: Variant, size_hw: tuple[int, int]) -> tuple[int, int]:
    """(h, w) of the features of an H×W input.

    Raises:
        SizeError: no input of that size is possible; the message names the nearest valid ones.
    """
    height, width = size_hw
    sides = [_nearest(variant, side) for side in (height, width)]
    if all(side in valid for side, valid in zip((height, width), sides, strict=True)):
        offset = 0 if variant.family == "fanet" else 1
        return (height - offset) // 8 + offset, (width - offset) // 8 + offset
    rule = "8h × 8w" if variant.family == "fanet" else "(8(h−1)+1) × (8(w−1)+1)"
    heights, widths = sides
    nearest = " or ".join(dict.fromkeys(f"{a}x{b}" for a, b in zip(heights, widths, strict=True)))
    raise SizeError(
        f"{variant.name} cannot take an input of {height}x{width}: valid sizes are {rule} "
        f"with h, w from {_SMALLEST_FEATURES} to {_LARGEST_SIDE // 8}; nearest: {nearest}"
    )


def _nearest(variant: Variant, side: int) -> tuple[int, int]:
    """The next valid side below (or equal) and above (or equal); both within the limits."""
    offset = 0 if variant.family == "fanet" else 1
    smallest = 8 * (_SMALLEST_FEATURES - offset) + offset
    largest = (_LARGEST_SIDE - offset) // 8 * 8 + offset
    inside = min(max(side, smallest), largest)
    below = (inside - offset) // 8 * 8 + offset
    above = min(below + 8, largest) if below < inside else below
    return below, above
