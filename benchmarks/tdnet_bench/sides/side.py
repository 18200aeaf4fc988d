"""What a side of a run is: anything that turns a video into labels, a frame at a time.

And what is around its calls: clock, pause, where records go, what a display is told.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

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


@dataclass(frozen=True, slots=True)
class Mask:
    """What a side makes of a frame; to be asked outside the clocks, before the stream's next frame.

    `span` is to be asked of all of a stream's frames or of none.
    """

    fetch: Callable[[], Array]
    span: Callable[[], int | None] = lambda: None

    @property
    def labels(self) -> Array:
        """uint8 [H, W], the receiver's own array; copied from the device where the side leaves them there."""
        return self.fetch()

    @property
    def device_compute_ns(self) -> int | None:
        """See `FrameRecord`; None where the side does not tell."""
        return self.span()


Push: TypeAlias = Callable[[Any], Mask]
"""A frame as `Side.feed` gives it to its mask. This call is what is timed."""


class Side(Protocol):
    """Something that can segment a video."""

    name: str

    def stream(self) -> AbstractContextManager[Push]:
        """A new stream, at its first frame; it ends with the context."""

    def feed(self, image: Array) -> Any:
        """The image, uint8 RGB [H, W, 3], where this side takes it from; outside the clocks.

        One that is in the device's memory is valid until the next call.
        """
