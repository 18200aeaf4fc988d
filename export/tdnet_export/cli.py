"""`tdnet-export`: a checkpoint in, a verified bundle out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tdnet_export.options import ExportOptions, parse_size
from tdnet_export.view import StageProgress, show_summary

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

_EPILOG = """Examples:

    tdnet-export --ckpt best.pth

    tdnet-export --ckpt best.pth --out td4.plan --size 385x769 --frames drive.mp4"""


@app.command(epilog=_EPILOG)
def export(
    checkpoint: Annotated[Path, typer.Option("--ckpt", metavar="PATH", help="Trained checkpoint.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="PATH.plan",
            help="Bundle to write. [default: <network>.plan]",
            show_default=False,
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HxW",
            help="Input size, height first; another than the checkpoint's is an approximation.",
            show_default=False,
        ),
    ] = None,
    memory_stride: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Subsampling of the memory. [default: the network's]", show_default=False
        ),
    ] = None,
    names: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Class names, one a line: `name` or `name R G B`.", show_default=False
        ),
    ] = None,
    frames: Annotated[
        str | None,
        typer.Option(
            metavar="CLIP",
            help="Video or image folder of your own for the proof, instead of a rendered scene.",
            show_default=False,
        ),
    ] = None,
    logits: Annotated[bool, typer.Option("--logits", help="Give the logits beside the labels.")] = False,
) -> None:
    """Export a TDNet checkpoint to ONNX graphs, prove them against PyTorch, and pack one bundle."""
    options = ExportOptions(
        checkpoint=checkpoint,
        out=out,
        size_hw=None if size is None else parse_size(size),
        memory_stride=memory_stride,
        names=names,
        frames=frames,
        logits=logits,
    )
    from tdnet_export.pipeline import bundle_from_checkpoint  # takes seconds: wrong options need not wait

    with StageProgress(Console(stderr=True)) as progress:
        summary = bundle_from_checkpoint(options, on_progress=progress)
    show_summary(summary, Console(highlight=False))
