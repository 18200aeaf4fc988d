"""Which steps of a frame's way are inside each clock of a side."""

from __future__ import annotations

from collections.abc import Iterable

from tdnet_bench.records.config import CAMERA_TO_MASK, DEVICE_COMPUTE, HOST_CALL, Clock

__all__ = ["STEPS", "clock", "clocks_of_bundle", "clocks_of_pytorch"]

STEPS = (
    "decode", "resize", "copy in", "H2D", "copy on device", "normalise", "network", "argmax", "D2H", "copy out",
    "resize back",
)  # fmt: skip
"""In their order. H2D and D2H are copies between host and device; a CPU has none."""

_DEVICE_STEPS = ("H2D", "copy on device", "D2H")
_GRAPH_STEPS = ("normalise", "network", "argmax")


def clock(inside: Iterable[str], *, on_device: bool, cuda_graph: bool = False) -> Clock:
    """A clock around the steps `inside`; a CPU, not `on_device`, has no copies, and a CUDA graph is a step of its own."""
    known = [step for step in STEPS if on_device or step not in _DEVICE_STEPS]
    chosen = set(inside)
    steps = tuple(step for step in known if step in chosen)
    graph = ("CUDA graph",) if on_device else ()
    return Clock(
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
) -> dict[str, Clock]:
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
) -> dict[str, Clock]:
    """The clocks of a side in PyTorch: the host call; with `timed` its device's as well."""
    call = _GRAPH_STEPS if resident else ("copy in", "H2D", *_GRAPH_STEPS, "D2H", "copy out")
    inside = {DEVICE_COMPUTE: _GRAPH_STEPS} if timed else {}
    return {name: clock(steps, on_device=on_device) for name, steps in (inside | {HOST_CALL: call}).items()}
