"""`tdnet-bench`: parse the flags, run the benchmark, show it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from tdnet_bench.benchmark import Phase, run_benchmark
from tdnet_bench.document import write_document
from tdnet_bench.environment import usable_cores
from tdnet_bench.options import DEFAULT_FRAMES, BenchOptions
from tdnet_bench.report import report_from_document
from tdnet_bench.runner import Tick

__all__ = ["app"]

_EPILOG = """Examples:

    tdnet-bench --engine tdnet50.plan --ckpt best.pth

    tdnet-bench --engine tdnet50.plan --input street.mp4 --frames 200 --json run.json"""

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog=_EPILOG)
def bench(
    *,
    engine: Annotated[Path, typer.Option(help="Bundle to measure (.plan).", show_default=False)],
    ckpt: Annotated[
        Path | None,
        typer.Option(help="Checkpoint that the bundle was exported from: label agreement is measured too."),
    ] = None,
    frames: Annotated[
        int,
        typer.Option(min=1, help="Warm frames to time, after the first and the cold ones. p99 from 100 on."),
    ] = DEFAULT_FRAMES,
    input: Annotated[
        Path | None, typer.Option(help="Video or folder of images; a rendered moving scene if not given.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option(help="Write figures, environment and every record here.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="For each side; as many as there are usable cores if not given.")
    ] = None,
    backend: Annotated[str, typer.Option(help="Of the runtime; auto is the best one present.")] = "auto",
) -> None:
    """Time a bundle frame by frame against the PyTorch reference, on the same frames in one run."""
    options = BenchOptions(
        engine=engine,
        ckpt=ckpt,
        frames=frames,
        input=input,
        json=json,
        threads=threads or usable_cores(),
        backend=backend,
    )
    with _progress() as phase:
        document = run_benchmark(options, phase=phase)
    try:
        if options.json is not None:
            write_document(document, options.json)
    finally:  # a full disk must not cost the report as well
        Console().print(report_from_document(document))


@contextmanager
def _progress() -> Iterator[Phase]:
    """A progress bar on stderr for each phase, with the time left; nothing where stderr is no terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:<24}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    progress = Progress(
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
        auto_refresh=False,  # its thread would draw in the middle of timed calls
    )

    @contextmanager
    def phase(description: str, frames: int) -> Iterator[Tick]:
        task = progress.add_task(description, total=frames)

        def tick() -> None:
            progress.advance(task)
            progress.refresh()

        progress.refresh()
        yield tick
        progress.update(task, total=progress.tasks[task].completed)

    with progress:
        yield phase
