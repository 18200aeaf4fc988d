"""Which parts there are, in which order, and how long each may take: pure functions.

What a GPU alone can answer comes first, for all bundles, since the time may run out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

__all__ = ["LIMITS_S", "MIN_LIMIT_S", "Slot", "limit_of", "slots"]

LIMITS_S: dict[str, float] = {
    "roofline": 40,
    "frames": 60,
    "cuda": 110,
    "tensorrt-rtx": 110,
    "tensorrt": 110,
    "pytorch": 150,
    "reference": 60,
    "tests": 90,
    "benchmark": 60,
}
"""Seconds for each part, in the order of the run."""

MIN_LIMIT_S = 5.0
"""Less is not worth a start."""

_ON_THE_GPU = ("cuda", "tensorrt-rtx", "tensorrt", "pytorch")


class Slot(NamedTuple):
    """A part and the bundle it is about; for `frames`, one bundle of that size; None for parts that need none."""

    part: str
    bundle: str | None


def slots(sizes: Mapping[str, tuple[int, int]], *, skip: Sequence[str] = ()) -> tuple[Slot, ...]:
    """All parts in their order.

    Args:
        sizes: (H, W) by bundle.
        skip: parts that are not wanted.
    """
    first_of_size = {size: name for name, size in reversed(list(sizes.items()))}
    order = [Slot("roofline", None)]
    order += [Slot("frames", name) for name in sizes if first_of_size[sizes[name]] == name]
    order += [Slot(part, name) for name in sizes for part in _ON_THE_GPU]
    order += [Slot("reference", name) for name in sizes]
    order += [Slot("tests", None)]
    order += [Slot("benchmark", name) for name in sizes]
    return tuple(slot for slot in order if slot.part not in skip)


def limit_of(part: str, *, limits_s: Mapping[str, float], left_s: float) -> float | None:
    """Seconds that a part gets; None where too few are left."""
    limit = min(limits_s.get(part, LIMITS_S[part]), left_s)
    return limit if limit >= min(MIN_LIMIT_S, limits_s.get(part, MIN_LIMIT_S)) else None
