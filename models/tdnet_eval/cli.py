"""`tdnet-eval`: parse the flags, evaluate, show it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tdnet_eval.document import Document
from tdnet_eval.options import DEVICES, EvalOptions, parse_gaps
from tdnet_eval.pictures import open_folder, write_pictures
from tdnet_eval.report import markdown_from_document, report_from_document
from tdnet_eval.result_file import write_document, write_result
from tdnet_eval.run import Run, run_evaluation
from tdnet_models.preprocessing import PRESETS
from tdnet_runtime.cli.frame_progress import FrameProgress
from tdnet_runtime.cli.notices import notice_console
from tdnet_runtime.cli.size_option import parse_size
from tdnet_runtime.extras import say
from tdnet_runtime.media.output_folder import OutputFolder

__all__ = ["app"]

LEFT_OUT = 3
"""Exit code where something that was asked for was not judged."""

_EPILOG = "\n\n".join(
    (
        "Examples:",
        "tdnet-eval --engine tdnet50.plan --data camvid:/data/camvid --split val",
        "tdnet-eval --engine a.plan --engine b.plan --precision fp32 --precision int8 --ckpt best.pth --data my-data",
        "tdnet-eval --engine a.plan --data camvid:/data/camvid --gap 1,2,4,8 --cut test",
        "Exit codes: 0 all was judged; 1 an error; 2 wrong usage; 3 a bundle was left out on some backend or precision, "
        "the report says why; 130 interrupted.",
    )
)

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(epilog=_EPILOG)
def evaluate(
    *,
    data: Annotated[
        str,
        typer.Option(
            metavar="FOLDER|KIND:FOLDER|X.toml",
            help="Data set: a folder of one's own, camvid:, cityscapes: or nyudv2: and its folder, or settings.",
            show_default=False,
        ),
    ],
    split: Annotated[str, typer.Option(help="Which part of it.")] = "val",
    engine: Annotated[
        list[Path] | None, typer.Option(metavar="X.plan", help="Bundle to judge. Repeatable.")
    ] = None,
    sha256: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HEX",
            help="Refuse another file in the bundle's place (sha256sum X.plan); once for each --engine, in their order.",
        ),
    ] = None,
    ckpt: Annotated[
        Path | None, typer.Option(help="Checkpoint to judge in PyTorch; the others are compared with it.")
    ] = None,
    backend: Annotated[
        list[str] | None, typer.Option(help="Of the runtime, for each bundle; auto if not given. Repeatable.")
    ] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(help="To compute each bundle in; what the backend prefers if not given. Repeatable."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of each side; all usable cores if not given.")
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar="HxW", help="--ckpt's input size; see tdnet-export.")
    ] = None,
    memory_stride: Annotated[
        int | None, typer.Option(metavar="N", help="--ckpt's; see tdnet-export.")
    ] = None,
    preprocessing: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(PRESETS),
            help="--ckpt's. It, size and stride are the bundle's where one of --engine was exported from the checkpoint.",
        ),
    ] = None,
    weights: Annotated[str | None, typer.Option(help="Which network in --ckpt; see tdnet-export.")] = None,
    threshold: Annotated[
        float | None, typer.Option(metavar="P", help="--ckpt's, for one class; see tdnet-export.")
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="|".join(DEVICES), help="Where PyTorch runs --ckpt.")
    ] = DEVICES[0],
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="mIoU and pixel accuracy alone: no outlines, no consistency, and only the frames that label images and "
            "the memory before them need.",
        ),
    ] = False,
    every_path: Annotated[
        bool,
        typer.Option(
            "--every-path", help="Judge the same frames by each sub-network in turn, in m more passes."
        ),
    ] = False,
    gap: Annotated[
        str | None,
        typer.Option(metavar="1,2,4,8", help="Judge the frames after so many lost frames, too."),
    ] = None,
    cut: Annotated[
        str | None,
        typer.Option(
            metavar="SPLIT",
            help="Judge the frames after a cut without reset, too: from frames of that split, or of the same split's "
            "other sequences.",
        ),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(
            help="Write every figure and every frame's scores here. An earlier document is replaced."
        ),
    ] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="X.md", help="Write the tables here.")] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write the confusion matrices and the first side's worst frames here, as PNGs.",
        ),
    ] = None,
    worst: Annotated[int, typer.Option(min=1, help="How many worst frames.")] = 5,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Remove an earlier run's PNGs from --pictures first.")
    ] = False,
) -> None:
    """Judge bundles and a checkpoint by a data set's label images, streamed as on a robot."""
    options = EvalOptions(
        data=data,
        split=split,
        engines=tuple(engine or ()) if sha256 else tuple(dict.fromkeys(engine or ())),
        sha256s=tuple(sha256 or ()),
        ckpt=ckpt,
        backends=tuple(dict.fromkeys(backend or ("auto",))),
        precisions=tuple(dict.fromkeys(precision or ())),
        threads=threads,
        size_hw=None if size is None else parse_size(size),
        memory_stride=memory_stride,
        preprocessing=preprocessing,
        weights=weights,
        threshold=threshold,
        device=device,
        quick=quick,
        every_path=every_path,
        gaps=() if gap is None else parse_gaps(gap),
        cut=cut,
        json=json,
        markdown=markdown,
        pictures=pictures,
        worst=worst,
        overwrite=overwrite,
    )
    with ExitStack() as stack:
        folder = None
        if options.pictures is not None:
            folder = stack.enter_context(open_folder(options.pictures, overwrite=options.overwrite))
        run = run_evaluation(options, phase=_progress)
        _deliver(run, options, folder)
    raise typer.Exit(LEFT_OUT if run.document.left_out else 0)


def _deliver(run: Run, options: EvalOptions, folder: OutputFolder | None) -> None:
    document = run.document
    try:
        if options.json is not None:
            write_document(document, options.json)
        if options.markdown is not None:
            text = markdown_from_document(document)
            write_result(
                text.encode(errors="backslashreplace"),
                options.markdown,
                what="the tables",
                option="--markdown",
            )
        if folder is not None:
            names, colors = document.data.classes, run.class_colors
            write_pictures(folder, run.confusions, run.worst, names=names, colors=colors)
    finally:  # a full disk must not cost the report as well
        _show(document)


@contextmanager
def _progress(total: int | None) -> Iterator[Callable[[int], None]]:
    with FrameProgress(notice_console(), total=total) as progress:
        yield progress.update


def _show(document: Document) -> None:
    """On stdout; what must not be overlooked on stderr as well, where stdout is no terminal."""
    console = Console() if sys.stdout.isatty() else Console(width=_WIDE)
    console.print(report_from_document(document))
    if not sys.stdout.isatty():
        for left in document.left_out:
            say(f"tdnet-eval: left out {left.what}: {left.reason}")
        for note in document.notes:
            if note.partition(":")[0].isupper():
                say(f"tdnet-eval: {note}")


_WIDE = 200  # of a file or pipe, where nothing is to be folded
