"""What a side of a run is: anything that turns a video into labels, a frame at a time.

And what is around its calls: clock, pause, where records go, what a display is told.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from tdnet_bench.records.frames import AnyRecord

__all__ = ["Array", "Clock", "Mask", "Phase", "Push", "Side", "Sleep", "Tick", "Write"]

Array: TypeAlias = npt.NDArray[np.uint8]

Clock: TypeAlias = Callable[[], int]
"""Monotonic, in nanoseconds."""

Sleep: TypeAlias = Callable[[float], None]
"""Pauses for so many seconds."""

Tick: TypeAlias = Callable[[], None]
"""Called after each frame, for a progress display."""

Phase: TypeAlias = Callable[[str, int], AbstractContextManager[Tick]]
"""Opens a phase of the run for display: what is done, and of how many frames (at least)."""

Write: TypeAlias = Callable[[AnyRecord], None]
"""Keeps a record."""


class Mask(NamedTuple):
    """What a side makes of a frame.

    Attributes:
        labels: uint8 [H, W], the receiver's own array.
        device_compute_ns: see `FrameRecord`; None where the side does not tell.
    """

    labels: Array
    device_compute_ns: int | None = None


Push: TypeAlias = Callable[[Array], Mask]
"""One frame, uint8 RGB [H, W, 3], to its mask. This call is what is timed."""


class Side(Protocol):
    """Something that can segment a video.

    Attributes:
        name: as in `FrameRecord.side`.
    """

    name: str

    def stream(self) -> AbstractContextManager[Push]:
        """A new stream, at its first frame; it ends with the context."""
