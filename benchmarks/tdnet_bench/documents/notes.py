"""What a report says in words: sentences without which figures mislead, exit codes, and what each figure means."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tdnet_bench.machine.environment import BUSY_SHARE
from tdnet_bench.records.config import CAMERA_TO_MASK, DEVICE_COMPUTE, HOST_CALL, LeftOut
from tdnet_bench.statistics.latency import P99_MIN_SAMPLES
from tdnet_bench.statistics.ratios import CONFIDENCE, RESAMPLES
from tdnet_bench.statistics.summary import Summary
from tdnet_runtime.manifest import Manifest

__all__ = [
    "ALL_MEASURED", "DEFINITIONS", "EXIT_CODES", "LEFT_OUT", "MIN_AGREEMENT", "REFERENCE_DISAGREES",
    "disagreeing_sides", "exit_code", "extra_outputs", "notes_after", "notes_before", "unused_labels",
]  # fmt: skip

MIN_AGREEMENT = 0.95
"""Mean label agreement with the reference below which a side is not taken for the same network."""

ALL_MEASURED = 0
LEFT_OUT = 3
REFERENCE_DISAGREES = 4

EXIT_CODES = {
    ALL_MEASURED: "everything that was asked for was measured",
    1: "an error; nothing was measured, or not to the end",
    2: "wrong usage",
    LEFT_OUT: "something that was asked for was left out; the notes say what and why",
    REFERENCE_DISAGREES: f"a side's labels agree with the reference's by less than {MIN_AGREEMENT:.0%}",
    129: "terminated by SIGHUP",
    130: "interrupted",
    143: "terminated by SIGTERM",
}

_EXTRA_OUTPUTS = {
    "logits": "the bundle gives logits, too: copying them out is inside the host call",
    "confidence": "the bundle gives confidence, too: computing it and copying it out is inside the host call",
}


def extra_outputs(notes: Iterable[str]) -> tuple[str, ...]:
    """What a run's bundle gives beside the labels, by the notes of its document."""
    return tuple(name for name, note in _EXTRA_OUTPUTS.items() if note in set(notes))


def disagreeing_sides(summary: Summary) -> tuple[str, ...]:
    """Names of the sides whose mean label agreement is below `MIN_AGREEMENT`."""
    return tuple(
        side
        for side, figures in summary.sides.items()
        if figures.quality.agreement is not None and figures.quality.agreement.mean < MIN_AGREEMENT
    )


def exit_code(summary: Summary, left_out: Iterable[LeftOut]) -> int:
    """Of a run that came to its end."""
    if disagreeing_sides(summary):
        return REFERENCE_DISAGREES
    return LEFT_OUT if any(left_out) else ALL_MEASURED


def notes_before(
    manifest: Manifest, reference_note: str, repeated: Mapping[str, str], *, no_gpu: str | None = None
) -> Iterator[str]:
    """What is known when all sides are open: of the bundle, of the reference, and from the `Lineup`."""
    yield reference_note
    if no_gpu is not None:
        yield f"device compute was NOT measured: {no_gpu}"
    if manifest.size_resampled:
        yield "the bundle is an approximation: its LayerNorm maps were resampled from another size"
    given = {tensor.name for graph in manifest.graphs for tensor in graph.outputs}
    yield from (note for name, note in _EXTRA_OUTPUTS.items() if name in given)
    for request, side in repeated.items():
        yield f"{request} is {side}, which was measured once"


def notes_after(
    summary: Summary,
    *,
    measured: int,
    wanted: int,
    busy_cores: float,
    usable_cores: int,
    obstacles: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """What is known when everything was measured.

    Frames are back-to-back ones, the first and the cold ones included; other programs kept so many cores busy;
    `obstacles` are by side, why its device compute is missing.
    """
    for side in disagreeing_sides(summary):
        agreement = summary.sides[side].quality.agreement
        assert agreement is not None  # it disagrees
        yield (
            f"THE REFERENCE DISAGREES: {agreement.mean:.2%} of the labels of {side} are the reference's, less "
            f"than {MIN_AGREEMENT:.0%}; its speed is not that of the same network"
        )
    if measured < wanted:
        yield f"the input ended after {measured} of the {wanted} frames that --frames asks for"
    for side, obstacle in (obstacles or {}).items():
        yield f"device compute of {side} was NOT measured: {obstacle}"
    if busy_cores >= BUSY_SHARE * usable_cores:
        yield (
            f"BUSY MACHINE: other programs kept {busy_cores:.1f} of {usable_cores} cores busy during the run, "
            "which slows all sides, and not equally, so repeat it on an idle machine"
        )


def unused_labels(folder: Path | None, used: int) -> tuple[LeftOut, ...]:
    """That mIoU was not measured, where label images were given and none belongs to a frame."""
    if folder is None or used:
        return ()
    return (
        LeftOut(
            what="--labels",
            reason=f"no PNG in {folder.name!r} has the name of a measured frame (its file's stem), so mIoU "
            "was not measured",
        ),
    )


DEFINITIONS = {
    DEVICE_COMPUTE: "the device's own time for a frame, between CUDA events before and after its work; none on a CPU",
    HOST_CALL: "from handing a frame of the network's size in to usable labels of that size, on the host's clock",
    CAMERA_TO_MASK: "from the file's bytes to usable labels of the frame's own size: decode, resize, host "
    "call, resize back",
    "back to back": "every side gets a frame before any side gets the next one, in turns, with a pause "
    "before each call",
    "warm": "all frames but each sequence's first and the cold ones, which are listed by themselves; no other frame is "
    "left out and no time is clipped",
    "percentiles": f"interpolated linearly; p99 from {P99_MIN_SAMPLES} frames on",
    "ripple": "p50 of the slowest path less p50 of the fastest",
    "drift": "p50 of the last window of warm frames over p50 of the first, less 1; a window is the most whole "
    "rounds of all paths that fit into a quarter of the frames",
    "paced": "frames of the network's size arrive at a fixed rate, one is in flight, and a loop that falls "
    "behind takes the newest",
    "missed": "labels usable only after the next frame's arrival",
    "dropped": "frames that arrived and were never processed, since a newer one was there",
    "latency": "of a paced frame: from its arrival to usable labels, waiting included",
    "jitter": "standard deviation of the gaps between consecutive labels of a paced stream",
    "ratio": "median over the frames of the subject's host call over the peer's on the same frame, with a "
    f"{CONFIDENCE:.0%} percentile bootstrap interval ({RESAMPLES} resamples of the frames, as pairs); it covers "
    "this run's frames, not what changes from run to run",
    "agreement": "share of the pixels with the reference's label, mean over all frames",
    "features off": "the value features V of a side's sub-networks against those of the bundle's FP32 graphs on the "
    "same frames, ‖difference‖ over ‖FP32 − its mean‖; the worst of the paths, each with one frame",
    "mIoU": "intersection over union against the label images, counted over all labelled frames, mean over the "
    "classes that occur; pixels whose label is no class (255, for one) are left out",
    "temporal consistency": "mIoU of a frame's labels with the labels of the frame before, moved along the "
    "optical flow (mTC of Varghese et al., CVPR workshops 2020; here with OpenCV's DIS flow between the two "
    "frames, the same for all sides, and without pixels that come from outside the picture), mean over frames; "
    "steady labels score high, right or wrong",
}
