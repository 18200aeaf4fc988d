"""Sentences without which the figures of a run would mislead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from tdnet_bench.documents.exit_codes import MIN_AGREEMENT, disagreeing_sides
from tdnet_bench.machine.load import BUSY_SHARE
from tdnet_bench.records.config import LeftOut
from tdnet_bench.statistics.summary import Summary
from tdnet_runtime.manifest import Manifest

__all__ = ["busy_note", "notes_after", "notes_before", "unused_labels"]


def notes_before(
    manifest: Manifest, reference_note: str, repeated: Mapping[str, str], *, no_gpu: str | None = None
) -> Iterator[str]:
    """What is known when all sides are open.

    Args:
        manifest: of the bundle.
        reference_note: see `RunConfig`.
        repeated: see `Lineup`.
        no_gpu: see `Lineup`.
    """
    yield reference_note
    if no_gpu is not None:
        yield f"device compute was NOT measured: {no_gpu}"
    if manifest.size_resampled:
        yield "the bundle is an approximation: its LayerNorm maps were resampled from another size"
    if any(tensor.name == "logits" for graph in manifest.graphs for tensor in graph.outputs):
        yield "the bundle gives logits, too: copying them out is inside the host call"
    for request, side in repeated.items():
        yield f"{request} is {side}, which was measured once"


def notes_after(
    summary: Summary, *, measured: int, wanted: int, other_busy_cores: float, usable_cores: int
) -> Iterator[str]:
    """What is known when everything was measured.

    Args:
        summary: of the run.
        measured: back-to-back frames, the first and the cold ones included.
        wanted: likewise.
        other_busy_cores: see `Document`.
        usable_cores: that this process may run on.
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
    yield from busy_note(other_busy_cores, usable_cores)


def busy_note(busy_cores: float, usable_cores: int) -> Iterator[str]:
    """A warning where other programs were busy enough to distort the figures, else nothing."""
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
