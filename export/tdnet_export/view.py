"""What `tdnet-export` shows: progress while it works, a table when it is done."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from tdnet_export.parity_report import SCENE, UNBOUNDED
from tdnet_models.sizes import exact_sizes
from tdnet_runtime.cli.labelling_view import labelling, preprocessing
from tdnet_runtime.cli.size_remark import size_remark
from tdnet_runtime.closeable import Closeable
from tdnet_runtime.extras import one_line
from tdnet_runtime.preflight import must_be_asked

if TYPE_CHECKING:
    from typing_extensions import Self

    from tdnet_export.engines import RebuildSummary, VerifySummary
    from tdnet_export.summary import ExportSummary
    from tdnet_runtime.manifest import EngineSpec, Manifest

__all__ = ["StageProgress", "show_rebuild", "show_summary", "show_verified"]


class StageProgress(Closeable):
    """A line for each stage with its elapsed time; called as `Progress` of the pipeline.

    Where `console` is no terminal, each finished stage is one plain line.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description:<24}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._stage: str | None = None
        self._task = TaskID(0)
        self._started = 0.0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def close(self) -> None:
        """Take the bar off the terminal."""
        self._bar.stop()

    def __call__(self, stage: str, done: int, total: int, detail: str = "") -> None:
        """Show that `done` of `total` steps of `stage` are done, and what the next one is."""
        begins = stage != self._stage
        if begins:
            self._stage, self._started = stage, perf_counter()
            self._task = self._bar.add_task(stage, total=total, detail="")
        self._bar.update(self._task, completed=done, detail=detail)
        if not self._console.is_terminal and not begins and (done == total or stage.startswith("write ")):
            self._console.print(f"{stage}: {perf_counter() - self._started:.1f} s", highlight=False)


def show_summary(summary: ExportSummary, console: Console) -> None:
    """The bundle, its graphs, its proofs and its engines."""
    manifest, reports = summary.manifest, summary.reports
    table = _table(summary.path)
    table.add_row(
        "network", f"{manifest.network}, {len(manifest.classes)} classes, {len(manifest.paths)} path(s)"
    )
    table.add_row("weights", escape(str(summary.provenance)))
    size = f"{manifest.input.height}x{manifest.input.width}"
    table.add_row("input", f"{size}, memory stride {manifest.state.stride}" if manifest.state.slots else size)
    if summary.resampled_from is not None:
        (heights, widths), (h, w) = exact_sizes(summary.resampled_from), summary.resampled_from
        note = (
            f"APPROXIMATE: the LayerNorm maps were resampled from the checkpoint's {h}x{w}; check the accuracy. Exact "
            f"are heights {heights[0]} to {heights[-1]} and widths {widths[0]} to {widths[-1]}."
        )
        table.add_row("", note, style="yellow")
    elif manifest.input.size_from == "assumed":
        note = f"{size_remark(manifest)}; where it was trained at another, name that one: --size HxW"
        table.add_row("", note, style="yellow")
    stated = manifest.input.preprocessing_from == "user"
    table.add_row("preprocessing", preprocessing(manifest.input), style=None if stated else "yellow")
    if manifest.threshold is not None:
        table.add_row("labels", escape(labelling(manifest)))
    for precision, report in reports.items():
        seconds = summary.graph_seconds[precision]
        table.add_row(
            "graphs", f"{len(manifest.graphs)} in {precision.upper()}, written and checked in {seconds:.1f} s"
        )
        table.add_row(
            f"proof of {precision.upper()}",
            f"{len(report.frames)} frames in closed loop against PyTorch ({escape(report.footage)})",
        )
        table.add_row(
            "  labels equal", f"{report.label_agreement:.4%}, worst frame {report.worst_frame_agreement:.4%}"
        )
        worst = report.worst_class
        table.add_row(
            "  worst class",
            f"{escape(manifest.classes[worst.index].name)}, IoU {worst.iou:.4f} with PyTorch's labels",
        )
        bound = f"{report.bounds.max_error:g}" if report.bounds.max_error < UNBOUNDED else "none"
        if report.dominant_class is not None:
            name = manifest.classes[report.dominant_class].name
            note = f"PROVES LITTLE: labels that are all {name!r} would pass, too; show it more classes: --frames CLIP"
            table.add_row("", escape(note), style="yellow")
        table.add_row("  max |Δlogits|/std", f"{report.logits_error:.1e} (bound {bound})")
        if report.own is not None:
            table.add_row(
                "  without attention",
                f"{report.own.label_agreement:.4%} equal, worst frame {report.own.worst_frame_agreement:.4%}",
            )
        if report.confidence_error is not None:
            allowed = f"{report.bounds.max_confidence_error:.4f}"
            table.add_row(
                "  confidence off by",
                f"{report.confidence_error:.4f} of its range in the mean (bound {allowed})",
            )
    for spec in manifest.engines:
        _add_engines(table, manifest, spec, summary.never_run)
    table.add_row("time", f"{summary.total_seconds:.1f} s, {summary.proof_seconds:.1f} s of it the proof")
    console.print(table)
    if any(report.footage == SCENE for report in reports.values()):
        console.print("Tip: prove it on your own footage too: --frames CLIP (a video or a folder of images).")
    asked = must_be_asked(manifest)
    option = "" if asked is None else f" --precision {asked}"
    console.print(
        one_line(
            f"Next: tdnet-run --engine {shlex.quote(str(summary.path))} --input VIDEO --overlay out.mp4{option}"
        ),
        soft_wrap=True,
        markup=False,
    )


def show_rebuild(summary: RebuildSummary, console: Console) -> None:
    """The engines that were built into a bundle, and those that were dropped."""
    table = _table(summary.path)
    for spec in summary.built:
        _add_engines(table, summary.manifest, spec, summary.never_run)
    for spec in summary.dropped:
        table.add_row("dropped", escape(spec.title))
    table.add_row("time", f"{summary.seconds:.1f} s")
    console.print(table)


def show_verified(summary: VerifySummary, console: Console) -> None:
    """The engines that were proven, and those that could not be run here."""
    table = _table(summary.path)
    for spec in summary.manifest.engines:
        _add_engines(table, summary.manifest, spec, summary.never_run)
    table.add_row("time", f"{summary.seconds:.1f} s")
    console.print(table)


def _table(path: Path) -> Table:
    """A table of names and values that begins with the bundle at `path`."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("bundle", f"{escape(one_line(str(path)))} ({path.stat().st_size / 2**20:.1f} MiB)")
    return table


def _add_engines(table: Table, manifest: Manifest, spec: EngineSpec, never_run: Mapping[str, str]) -> None:
    """Rows for one set of engines."""
    seconds = sum(engine.build_seconds for engine in spec.graphs.values())
    nbytes = sum(manifest.members[engine.engine].size for engine in spec.graphs.values())
    share = min(engine.half_share for engine in spec.graphs.values())
    int8 = [engine.int8_share for engine in spec.graphs.values()]
    told = (
        f"INT8 in {math.floor(min(int8) * 100)} to {math.floor(max(int8) * 100)} % and half"
        if any(int8)
        else "half"
    )
    table.add_row("engines", escape(spec.title))
    table.add_row(
        "",
        f"{len(spec.graphs)} in {spec.precision.upper()}, {nbytes / 2**20:.1f} MiB, built in {seconds:.1f} s; {told} "
        f"precision in at least {math.floor(share * 100)} % of each one's multiplications",
    )
    proof = spec.proof
    if proof is None:
        table.add_row("", escape(f"built, never run: {never_run.get(spec.title, 'not tried')}"))
        return
    table.add_row(
        "",
        escape(
            f"proven on {proof.device} beside ONNX Runtime: {proof.frames} frames, {proof.label_agreement:.4%} of the "
            f"labels equal, worst frame {proof.worst_frame_agreement:.4%}"
        ),
    )
