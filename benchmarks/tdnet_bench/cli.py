"""`tdnet-bench`: parse the flags, run the benchmark, show it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tdnet_bench.benchmark import Run, run_benchmark
from tdnet_bench.documents.compare import compare_documents
from tdnet_bench.documents.document import Document
from tdnet_bench.documents.journal import complete, journal_path, read_run
from tdnet_bench.documents.notes import EXIT_CODES
from tdnet_bench.options import DEFAULT_FRAMES, BenchOptions
from tdnet_bench.sides.requests import NO_PEERS, PYTORCH_SIDES
from tdnet_bench.views.html.page import require_libraries, write_page
from tdnet_bench.views.progress import progress_bars
from tdnet_bench.views.report import report_from_comparison, report_from_document
from tdnet_eval.result_file import check_result_path
from tdnet_runtime.backends.cpu_count import usable_cpus
from tdnet_runtime.cli.pinning import Sha256
from tdnet_runtime.errors import OptionError
from tdnet_runtime.extras import say
from tdnet_runtime.passwords import hide_password

__all__ = ["app"]

_EPILOG = "\n\n".join(
    (
        "Examples:",
        "tdnet-bench --engine tdnet50.plan --ckpt best.pth",
        "tdnet-bench --engine tdnet50.plan --input street.mp4 --frames 200 --fps 10 --fps 30 --json run.json",
        "tdnet-bench compare before.json after.json",
        "Exit codes: " + "; ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items()) + ".",
    )
)
_PEERS = ", ".join((*PYTORCH_SIDES, "a backend", "a backend:precision"))

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True, epilog=_EPILOG)
def bench(
    context: typer.Context,
    *,
    engine: Annotated[
        Path | None, typer.Option(metavar="X.plan", help="Bundle to measure. Required.", show_default=False)
    ] = None,
    ckpt: Annotated[
        Path | None,
        typer.Option(help="Checkpoint that the bundle was exported from: label agreement is measured too."),
    ] = None,
    frames: Annotated[
        int,
        typer.Option(min=1, help="Warm frames to time, after the first and the cold ones. p99 from 100 on."),
    ] = DEFAULT_FRAMES,
    input: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Video, folder of images, or folder of such folders; a rendered scene if not given.",
        ),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Folder of label images, PNGs with the names of the input's: mIoU.")
    ] = None,
    fps: Annotated[
        list[float] | None,
        typer.Option(help="Pace the frames as a camera does, too: missed deadlines, jitter. Repeatable."),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(
            help="Write figures, environment and every record here. A file of the same configuration is "
            "replaced, any other refused. The tables are shown only on a terminal then."
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(help="Write one self-contained page for reading here; replaced if it exists."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="For each side; as many as there are usable cores if not given.")
    ] = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(
            help="Of the runtime, NAME or NAME:PRECISION; auto, the best one present, if not given. "
            "Repeatable: the first is what the run is about, the others are its peers."
        ),
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Run beside it on the same frames: {_PEERS}. Repeatable; pytorch if not given and installed; "
            f"{NO_PEERS} for nothing."
        ),
    ] = None,
    roofline: Annotated[
        bool,
        typer.Option(
            "--roofline",
            help="Measure what the subject's device can do, too (seconds), and what share of it each graph reaches.",
        ),
    ] = False,
    streams: Annotated[
        int,
        typer.Option(
            min=0, help="Open so many further streams of each bundle side in the end: their memory."
        ),
    ] = 0,
    sha256: Sha256 = None,
) -> None:
    """Time a bundle frame by frame beside its peers, on the same frames in one run."""
    if context.invoked_subcommand is not None:
        asked = (name for name in context.params if "COMMANDLINE" in repr(context.get_parameter_source(name)))
        if given := ", --".join(asked):
            raise OptionError(
                f"--{given} goes with a run, not with {context.invoked_subcommand}: leave it out"
            )
        return
    if engine is None:
        raise typer.BadParameter("it is missing", param_hint="--engine")
    if input is not None and "://" in input:  # whose slashes a path would lose
        raise OptionError(
            f"--input needs a video or a folder of this machine, not an address: {hide_password(input)!r}"
        )
    options = BenchOptions(
        engine=engine,
        ckpt=ckpt,
        frames=frames,
        input=None if input is None else Path(input),
        labels=labels,
        fps=tuple(fps or ()),
        json=json,
        html=html,
        threads=threads or usable_cpus(),
        backends=tuple(backend or ("auto",)),
        peers=tuple(peer or ()),
        roofline=roofline,
        streams=streams,
        sha256=sha256,
    )
    if options.html is not None:
        require_libraries()  # before the run, not after it
    run = _measured(options)
    document = run.document
    try:
        if options.json is not None:
            complete(document, options.json)
        if options.html is not None:
            write_page(document, options.html, picture=run.picture, class_colors=run.class_colors)
    finally:  # a full disk must not cost the report as well
        _show(document, quiet=options.json is not None and not sys.stdout.isatty())
    raise typer.Exit(document.exit_code)


@app.command()
def show(
    run: Annotated[
        Path, typer.Argument(help="A document, or the .records.jsonl of a run that was cut short.")
    ],
    html: Annotated[
        Path | None, typer.Option(help="Write its page, too; without the picture, which no document holds.")
    ] = None,
) -> None:
    """Show the tables of a run that is over, or of what a run that was cut short had measured."""
    document = read_run(run)
    if html is not None:
        check_result_path(html, option="--html", others=[("RUN", run)])
        require_libraries()
        write_page(document, html, picture=None)
    _show(document, quiet=False)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="Document of a run.", metavar="A.json")],
    second: Annotated[Path, typer.Argument(help="Document of another one.", metavar="B.json")],
    side: Annotated[
        str | None,
        typer.Option(help="Side to compare, such as pytorch; what each run is about if not given."),
    ] = None,
) -> None:
    """Compare two runs by the ratio of their times, A over B. Runs that did other work are refused."""
    compared = compare_documents(read_run(first), read_run(second), side=side)
    Console().print(report_from_comparison(compared))


def _measured(options: BenchOptions) -> Run:
    try:
        with progress_bars() as phase:
            return run_benchmark(options, phase=phase)
    except KeyboardInterrupt:
        if options.json is not None and journal_path(options.json).exists():
            _warn(f"what was measured is in {str(journal_path(options.json))!r}")
        raise


def _show(document: Document, *, quiet: bool) -> None:
    """The tables on stdout; if `quiet`, only what must not be overlooked, on stderr."""
    if not quiet:
        Console().print(report_from_document(document))
        return
    for left in document.left_out:
        _warn(f"left out {left.what}: {left.reason}")
    for note in document.notes:
        if note.partition(":")[0].isupper():  # the loud ones; see documents/notes.py
            _warn(note)


def _warn(text: str) -> None:
    say(f"tdnet-bench: {text}")
