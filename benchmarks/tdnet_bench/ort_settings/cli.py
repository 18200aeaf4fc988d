"""`python -m tdnet_bench.ort_settings`: parse the flags, measure, show it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tdnet_bench.machine.environment import usable_cores
from tdnet_bench.ort_settings.document import check_target, write
from tdnet_bench.ort_settings.measurement import measure_settings
from tdnet_bench.ort_settings.tables import view_of
from tdnet_bench.views.progress import progress_bars
from tdnet_runtime.extras import one_line

__all__ = ["app", "run"]

_EPILOG = (
    "Exit codes: 0 everything was measured; 1 an error; 2 wrong usage; 130 interrupted; 143, 129 terminated."
)
_FRAMES = 20

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(epilog=_EPILOG)
def ort_settings(
    *,
    engine: Annotated[Path, typer.Option(metavar="X.plan", help="Bundle with FP32 graphs to measure.")],
    json: Annotated[
        Path | None,
        typer.Option(
            help="Write figures, environment and every record here. A document of this command is replaced, any "
            "other file refused. The tables are shown only on a terminal then."
        ),
    ] = None,
    frames: Annotated[int, typer.Option(min=1, help="Timed runs of each graph with each setting.")] = _FRAMES,
    threads: Annotated[
        int | None, typer.Option(min=1, help="As many as there are usable cores if not given.")
    ] = None,
) -> None:
    """Measure how the backend onnxruntime is set up against other ways, in one run, on path 1 of a bundle."""
    if json is not None:
        check_target(json)
    with progress_bars() as phase:
        document = measure_settings(engine, threads=threads or usable_cores(), rounds=frames, phase=phase)
    try:
        if json is not None:
            write(document, json)
    finally:  # a full disk must not cost the tables as well
        if json is None or sys.stdout.isatty():
            Console().print(view_of(document))
        else:
            for note in document.notes:
                typer.echo(one_line(f"ort-settings: {note}"), err=True)


def run() -> None:
    """The command under the name by which it is started."""
    app(prog_name="python -m tdnet_bench.ort_settings")
