"""`tdnet-run`: segment a video, a folder of images or a camera."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tdnet_runtime.cli.frame_progress import FrameProgress
from tdnet_runtime.cli.interrupt import stop_on_interrupt
from tdnet_runtime.cli.labelling_view import labelling, preprocessing
from tdnet_runtime.cli.run_options import RunOptions
from tdnet_runtime.extras import one_line
from tdnet_runtime.media.frames import FrameSource
from tdnet_runtime.media.overlay import OverlayWriter
from tdnet_runtime.media.pipeline import RunSummary, run_video
from tdnet_runtime.media.sinks import LabelWriter, Sink
from tdnet_runtime.media.sources import open_source
from tdnet_runtime.segmenter import Segmenter

__all__ = ["app"]

_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
_SHORT_DIGEST = 12
_EPILOG = """Examples:

    tdnet-run --engine td2-fa18.plan --input street.mp4 --overlay out.mp4

    tdnet-run --engine td2-fa18.plan --input camera:0 --labels out/"""

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(epilog=_EPILOG)
def run(
    *,
    engine: Annotated[Path, typer.Option(metavar="X.plan", help="Bundle to run.", show_default=False)],
    input: Annotated[
        str,
        typer.Option(
            metavar="VIDEO|FOLDER|CAMERA",
            help="Video file; folder of images, in natural order; or camera: 0, camera:0, /dev/video0.",
            show_default=False,
        ),
    ],
    labels: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the class index of each pixel here, as 8-bit grey PNGs."),
    ] = None,
    overlay: Annotated[
        Path | None,
        typer.Option(metavar="OUT.mp4", help="Write a video of the frames with the classes in colour."),
    ] = None,
    max_frames: Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.")] = None,
    backend: Annotated[str, typer.Option(help="Inference engine; auto is the best one present.")] = "auto",
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="fp32|fp16|bf16|int8|int8-bf16|int8_fp16",
            help="To compute in; the best that the backend runs unasked if not given.",
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of the engine; all usable cores if not given.")
    ] = None,
) -> None:
    """Segment a video, a folder of images or a camera. Without an output it only measures.

    Ctrl-C ends the run after the current frame and completes the files.
    """
    options = RunOptions(
        engine=engine,
        input=input,
        labels=labels,
        overlay=overlay,
        max_frames=max_frames,
        backend=backend,
        precision=precision,
        threads=threads,
    )
    with (
        open_source(options.input) as source,
        Segmenter.open(
            options.engine, backend=options.backend, precision=options.precision, threads=options.threads
        ) as segmenter,
    ):
        summary = _run(options, source, segmenter)
        _show(options, source, segmenter, summary)
    if summary.interrupted:
        raise typer.Exit(_INTERRUPTED)


def _run(options: RunOptions, source: FrameSource, segmenter: Segmenter) -> RunSummary:
    """Run with the sinks that `options` ask for, closed on return."""
    totals = [n for n in (options.max_frames, source.frame_count) if n is not None]
    progress = FrameProgress(Console(stderr=True), total=min(totals, default=None))
    with ExitStack() as stack:
        should_stop = stack.enter_context(stop_on_interrupt())
        sinks: list[Sink] = []
        if options.labels is not None:
            sinks.append(stack.enter_context(LabelWriter(options.labels)))
        if options.overlay is not None:
            colors = [spec.color for spec in segmenter.manifest.classes]
            overlay = OverlayWriter(options.overlay, size_hw=source.size_hw, fps=source.fps, colors=colors)
            sinks.append(stack.enter_context(overlay))
        stack.enter_context(progress)
        return run_video(
            segmenter,
            source,
            sinks,
            max_frames=options.max_frames,
            on_frame=progress.update,
            should_stop=should_stop,
        )


def _show(options: RunOptions, source: FrameSource, segmenter: Segmenter, summary: RunSummary) -> None:
    console = Console(markup=False, highlight=False, emoji=False)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in _rows(options, source, segmenter, summary).items():
        table.add_row(name, one_line(value))
    console.print(table)
    if segmenter.manifest.size_resampled:
        console.print(
            "APPROXIMATE: the LayerNorm maps of this bundle were resampled from another size; "
            "its results are not those of the checkpoint at its own size.",
            style="bold yellow",
        )


def _rows(
    options: RunOptions, source: FrameSource, segmenter: Segmenter, summary: RunSummary
) -> dict[str, str]:
    manifest, bundle, backend = segmenter.manifest, segmenter.bundle, segmenter.backend
    rows = {
        "input": f"{source.description}, {source.size_hw[0]}x{source.size_hw[1]} (height x width)",
        "frames": f"{summary.frames}{', then interrupted' if summary.interrupted else ''}",
        "whole loop": f"{summary.frames_per_s:.2f} frames/s, files included ({summary.wall_s:.1f} s)",
    }
    if summary.latency_ms is not None:
        figures = ", ".join(f"{name} {value:.1f} ms" for name, value in summary.latency_ms.items())
        rows["latency"] = f"{figures} (from frame to labels, cold start included)"
    remark = "" if manifest.input.size_from == "user" else " (assumed size: see tdnet-inspect)"
    if manifest.size_resampled:
        remark = " (APPROXIMATE)"
    rows["network"] = f"{manifest.network}, {manifest.input.height}x{manifest.input.width}{remark}"
    rows["preprocessing"] = preprocessing(manifest.input)
    if manifest.channels == 1:
        rows["a pixel's label"] = labelling(manifest)
    rows["bundle"] = f"{bundle.path}, digest {bundle.digest[:_SHORT_DIGEST]}"
    rows["backend"] = f"{backend.name}: {backend.description}"
    rows["precision"] = backend.precision
    if options.labels is not None:
        rows["labels"] = f"{summary.frames} PNG files in {options.labels}"
    if options.overlay is not None:
        rows["overlay"] = str(options.overlay) if summary.frames else "none, for want of frames"
    return rows
