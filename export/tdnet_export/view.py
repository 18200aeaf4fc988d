"""What `tdnet-export` shows: progress while it works, a table when it is done."""

from __future__ import annotations

from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from tdnet_export.options import SCENE

if TYPE_CHECKING:
    from tdnet_export.pipeline import ExportSummary

__all__ = ["StageProgress", "show_summary"]


class StageProgress:
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
            console=console,
            disable=not console.is_terminal,
        )
        self._stage: str | None = None
        self._task = TaskID(0)
        self._started = 0.0

    def __enter__(self) -> StageProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show that `done` of `total` steps of `stage` are done."""
        begins = stage != self._stage
        if begins:
            self._stage, self._started = stage, perf_counter()
            self._task = self._bar.add_task(stage, total=total)
        self._bar.update(self._task, completed=done)
        if not self._console.is_terminal and not begins and (done == total or stage.startswith("write ")):
            self._console.print(f"{stage}: {perf_counter() - self._started:.1f} s", highlight=False)


def show_summary(summary: ExportSummary, console: Console) -> None:
    """The bundle, its graphs and its proof."""
    manifest, report = summary.manifest, summary.report
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    size = f"{manifest.input.height}x{manifest.input.width}"
    table.add_row("bundle", f"{summary.path} ({summary.path.stat().st_size / 2**20:.1f} MiB)")
    table.add_row(
        "network", f"{manifest.network}, {len(manifest.classes)} classes, {len(manifest.paths)} path(s)"
    )
    table.add_row("input", f"{size}, memory stride {manifest.state.stride}")
    if manifest.size_resampled:
        note = "APPROXIMATE: the LayerNorm maps were resampled from the checkpoint's size; check the accuracy"
        table.add_row("", note, style="yellow")
    seconds = sum(summary.graph_seconds.values())
    table.add_row("graphs", f"{len(manifest.graphs)} in FP32, written and checked in {seconds:.1f} s")
    table.add_row(
        "proof",
        f"{len(report.frames)} frames in closed loop against PyTorch ({report.footage}), {summary.proof_seconds:.1f} s",
    )
    table.add_row(
        "  labels equal", f"{report.label_agreement:.4%}, worst frame {report.worst_frame_agreement:.4%}"
    )
    table.add_row("  max |Δlogits|/std", f"{report.logits_error:.1e} (bound {report.bounds.max_error:.0e})")
    table.add_row("time", f"{summary.total_seconds:.1f} s")
    console.print(table)
    if report.footage == SCENE:
        console.print("Tip: prove it on your own footage too: --frames CLIP (a video or a folder of images).")
    console.print(f"Next: tdnet-run --engine {summary.path} --input VIDEO --overlay out.mp4", soft_wrap=True)
