"""Bytes that programs are tried with before the first frame: what goes in, and what must be gone afterwards."""

from __future__ import annotations

from tdnet_runtime.manifest import CONFIDENCE

__all__ = ["PROBE", "poison_of"]

PROBE = 0x3C
"""In inputs: a small positive number in uint8, float16 and float32 alike."""


def poison_of(tensor: str) -> int:
    """What the output `tensor` is filled with: NaN in every floating-point type, and no class in `labels`.

    In `confidence` 255 is what a network gives that is sure of all pixels; none gives a label without any share.
    """
    return 0x00 if tensor == CONFIDENCE else 0xFF
