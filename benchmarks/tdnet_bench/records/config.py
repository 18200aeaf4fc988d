"""What was decided before the first frame of a run, what each side of it is, and what it took to get them going."""

from __future__ import annotations

from tdnet_bench.records import Record

__all__ = [
    "CAMERA_TO_MASK", "DEVICE_COMPUTE", "EAGER", "HOST_CALL", "PYTORCH", "Clock", "LeftOut", "RunConfig", "SideSetup",
    "SideSpec", "StreamMemory", "widths_text",
]  # fmt: skip

CAMERA_TO_MASK = "camera to mask"
DEVICE_COMPUTE = "device compute"
HOST_CALL = "host call"
PYTORCH = "pytorch"
"""Name of the side in eager PyTorch on the CPU, the public code's own way."""
EAGER = (PYTORCH, f"{PYTORCH}:cuda", f"{PYTORCH}:cuda@device")
"""Names of the sides that are eager PyTorch in FP32; what others are compared with is the first that there is."""


class Clock(Record, frozen=True, kw_only=True):
    """What one of a side's clocks covers, in the words of `sides/side.py`: steps inside and outside."""

    inside: tuple[str, ...]
    outside: tuple[str, ...]


class SideSpec(Record, frozen=True, kw_only=True):
    """One side of a run: something that turns the same frames into labels.

    Attributes:
        name: unique in the run: `onnxruntime:fp32`, `pytorch`, `torch-compile`, ...
        kind: `bundle` (the runtime's own call, as on a robot) or `pytorch`.
        description: engine, version and device in one line.
        weights: `bundle`, `checkpoint` or `synthetic` (the bundle's shapes, made-up weights).
        clocks: by `device compute`, `host call` and `camera to mask`; one that it does not have is missing.
    """

    name: str
    kind: str
    precision: str
    description: str
    weights: str
    clocks: dict[str, Clock]


class LeftOut(Record, frozen=True, kw_only=True):
    """Something that was asked for and not measured, and why."""

    what: str
    reason: str


class RunConfig(Record, frozen=True, kw_only=True):
    """All that was decided before the first frame. Files are given by name only, never by folder.

    Two runs with equal configurations measure the same thing; see `refuse_other_run` of `documents/journal.py`.

    Attributes:
        bundle_digest: SHA-256 that covers all of the bundle's members.
        size_resampled: True where the bundle is an approximation, resampled from another size.
        paths: m; memory_stride: n of the memory; cold_frames: those after the start without attention.
        warm_frames_requested: frames to time after the lead-in, in each part of the run.
        footage_size_hw: (H, W) of the frames themselves; the network's, `height` and `width`, for the rendered scene.
        labels: name of the folder with label images; None where there was none.
        fps: rates of the paced parts, ascending; none for back-to-back frames only.
        requested: backends and peers as they were asked for, the subject's first.
        subject: name of the side that the run is about; ratios are its time over each peer's.
        reference: name of the side that labels are compared with, with a note of what that means; None without one.
        checkpoint_sha256: of the weights of the PyTorch sides; None where they are not from a file.
        pause_ms: idle time before each back-to-back and camera-to-mask call.
    """

    engine: str
    bundle_digest: str
    network: str
    widths: str
    classes: tuple[str, ...]
    size_resampled: bool
    height: int
    width: int
    paths: int
    cold_frames: int
    memory_stride: int
    threads: int
    warm_frames_requested: int
    footage: str
    footage_size_hw: tuple[int, int]
    labels: str | None
    fps: tuple[float, ...]
    requested: tuple[str, ...]
    subject: str
    reference: str | None
    reference_note: str
    checkpoint_sha256: str | None
    pause_ms: float


def widths_text(widths: dict[str, int | tuple[int, ...]]) -> str:
    """A manifest's channel widths in one line: `stem 64, planes 64-128-256-512, ...`."""
    return ", ".join(
        f"{name} {width if isinstance(width, int) else '-'.join(map(str, width))}"
        for name, width in widths.items()
    )


class SideSetup(Record, frozen=True, kw_only=True):
    """What it took to get one side going, in the order of `Document.setup`: the subject is the first.

    Attributes:
        load_ms: from nothing to a loaded network; later sides find imported what earlier ones imported.
        first_mask_ms: from the same instant to the labels of the first frame.
        peak_rss_mib: largest resident memory of the process so far, Python, frames and all earlier sides included.
        device_memory_mib: what the process holds on the GPU after the warm-up, likewise; None where nobody tells.
    """

    load_ms: float
    first_mask_ms: float
    warm_up_frames: int
    peak_rss_mib: float | None
    device_memory_mib: float | None


class StreamMemory(Record, frozen=True, kw_only=True):
    """What each further stream of a side took, after it ran every path once.

    Attributes:
        on: `device` by the driver's count of free memory, of all processes; `host` by this process's resident memory.
        further_mib: by stream, the first one left out, which a side cannot do without.
        own_bytes: what the last one says of itself, by kind; None where it says nothing.
    """

    on: str
    further_mib: tuple[float, ...]
    own_bytes: dict[str, int] | None = None
