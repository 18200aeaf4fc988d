"""The number of a frame in its sequence, as servers tell it: a 32-bit integer that never runs out.

A graph counts in a state of its own (`tdnet_export.triton`), and TensorRT has no wider integer before version 10. So the
count goes from 0 to W + m − 1 and on with m: W is a multiple of m, so that the path stays right, and frames from m on are
warm.

>>> [counted(index, paths=2) for index in (0, 1, 2, WRAP + 1, WRAP + 2, WRAP + 3)]
[0, 1, 2, 1073741825, 2, 3]
"""

from __future__ import annotations

__all__ = ["WRAP", "counted"]

WRAP = 1 << 30
"""W: m is 1, 2 or 4. It takes a year at 30 frames/s to get there."""


def counted(index: int, *, paths: int) -> int:
    """What is told of frame `index` (0 for the first one) of a network with `paths` paths."""
    return index if index < WRAP + paths else paths + (index - paths) % WRAP
