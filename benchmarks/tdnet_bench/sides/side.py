"""What a side of a run is: anything that turns a video into labels, a frame at a time, and what its clocks cover.

And what is around its calls: clock, pause, where records go, what a display is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from tdnet_bench.records.config import CAMERA_TO_MASK, DEVICE_COMPUTE, HOST_CALL
from tdnet_bench.records.config import Clock as Coverage
from tdnet_bench.records.frames import AnyRecord

__all__ = [
    "STEPS", "Array", "Clock", "Mask", "Phase", "Push", "Side", "Sleep", "Tick", "Write", "clock", "clocks_of_bundle",
    "clocks_of_pytorch",
]  # fmt: skip

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


STEPS = (
    "decode", "resize", "copy in", "H2D", "copy on device", "normalise", "network", "argmax", "D2H", "copy out",
    "resize back",
)  # fmt: skip
"""In their order. H2D and D2H are copies between host and device; a CPU has none."""

_DEVICE_STEPS = ("H2D", "copy on device", "D2H")
_GRAPH_STEPS = ("normalise", "network", "argmax")


def clock(inside: Iterable[str], *, on_device: bool, cuda_graph: bool = False) -> Coverage:
    """A clock around the steps `inside`; a CPU, not `on_device`, has no copies, and a CUDA graph is a step of its own."""
    known = [step for step in STEPS if on_device or step not in _DEVICE_STEPS]
    chosen = set(inside)
    steps = tuple(step for step in known if step in chosen)
    graph = ("CUDA graph",) if on_device else ()
    return Coverage(
        inside=steps + (graph if cuda_graph else ()),
        outside=tuple(step for step in known if step not in chosen) + (() if cuda_graph else graph),
    )


def clocks_of_bundle(
    *,
    on_device: bool,
    cuda_graph: bool,
    camera: bool,
    resident: bool = False,
    device: tuple[str, ...] | None = (),
) -> dict[str, Coverage]:
    """The clocks of a side that runs the bundle, on frames of a file too with `camera`; see `clock` for the rest.

    Frames and labels are in the device's memory where it is `resident`. `device` is what is inside its device compute
    besides the graphs; None where that is not measured.
    """
    call: tuple[str, ...] = ("copy in", "H2D", *_GRAPH_STEPS, "D2H", "copy out")
    if resident:
        call = ("copy on device", *_GRAPH_STEPS)
    inside: dict[str, tuple[str, ...]] = {HOST_CALL: call}
    if on_device and device is not None:
        inside = {DEVICE_COMPUTE: (*device, *_GRAPH_STEPS), **inside}
    if camera:
        inside[CAMERA_TO_MASK] = ("decode", "resize", *call, "resize back")
    return {
        name: clock(steps, on_device=on_device, cuda_graph=cuda_graph and on_device)
        for name, steps in inside.items()
    }


def clocks_of_pytorch(
    *, on_device: bool = False, resident: bool = False, timed: bool = False
) -> dict[str, Coverage]:
    """The clocks of a side in PyTorch: the host call; with `timed` its device's as well."""
    call = _GRAPH_STEPS if resident else ("copy in", "H2D", *_GRAPH_STEPS, "D2H", "copy out")
    inside = {DEVICE_COMPUTE: _GRAPH_STEPS} if timed else {}
    return {name: clock(steps, on_device=on_device) for name, steps in (inside | {HOST_CALL: call}).items()}
