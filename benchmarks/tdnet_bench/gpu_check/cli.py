"""`python -m tdnet_bench.gpu_check`: parse the flags, run the check, show it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.text import Text

from tdnet_bench.gpu_check.check import Checked, check
from tdnet_bench.gpu_check.process import DONE, library_folders, run_limited, with_libraries
from tdnet_bench.gpu_check.records import LIMITS_S, CheckOptions
from tdnet_bench.published.gpu_table import side_rows
from tdnet_bench.views.tables import table
from tdnet_runtime.errors import OptionError
from tdnet_runtime.extras import one_line, say

__all__ = ["app", "parse_limits", "run", "view_of"]

_EPILOG = (
    "Exit codes: 0 every question was answered; 1 an error, such as no GPU; 2 wrong usage; 3 something failed or was "
    "left out, the document says what; 130 interrupted; 143, 129 terminated."
)
_ROOT = Path(__file__).resolve().parents[3]
_SAID = 300  # characters of a step's last words
_LIMIT_MS = {
    "td4-psp18": 1.5,
    "td2-psp50": 3.0,
}  # the project's targets for a data centre's GPU, at this size:
_SIZE_HW = (769, 1537)
_MAX_P99_OVER_P50, _MIN_SPEEDUP = 1.1, 3.0
_FILE: dict[str, Any] = {"exists": True, "dir_okay": False}

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(epilog=_EPILOG)
def gpu_check(
    *,
    plan: Annotated[list[Path], typer.Option(metavar="X.plan", help="Bundle to check. Repeatable.", **_FILE)],
    out: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER", help="For gpu/<gpu>-<date>.", exists=True, file_okay=False, writable=True
        ),
    ],
    ckpt: Annotated[
        list[Path] | None,
        typer.Option(
            help="Checkpoint of a bundle: PyTorch's labels mean something then. Repeatable.", **_FILE
        ),
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.1, help="For everything.")] = 8.0,
    limit: Annotated[
        list[str] | None,
        typer.Option(metavar="PART=SECONDS", help=f"For a part: {', '.join(LIMITS_S)}. Repeatable."),
    ] = None,
    skip: Annotated[list[str] | None, typer.Option(metavar="PART", help="Leave out. Repeatable.")] = None,
    frames: Annotated[int, typer.Option(min=1, help="Timed frames of each run.")] = 240,
    pictures: Annotated[int, typer.Option(min=4, help="Different frames.")] = 12,
    commit: Annotated[str | None, typer.Option(help="Of the source tree, where it is no checkout.")] = None,
) -> None:
    """Answer what only a GPU can answer, and write it down."""
    options = CheckOptions(
        plans=tuple(plan),
        ckpts=tuple(ckpt or ()),
        out=out,
        minutes=minutes,
        limits_s=parse_limits(limit or ()),
        skip=tuple(_part("--skip", part) for part in skip or ()),
        frames=frames,
        pictures=pictures,
        commit=commit,
    )
    environment = with_libraries(os.environ, library_folders(map(Path, sys.path)))
    launch = partial(run_limited, environment=environment, cwd=_ROOT)
    done = check(options, launch=launch, tell=lambda line: say(f"gpu-check: {line}"))
    Console().print(view_of(done))
    typer.echo(str(done.folder))
    raise typer.Exit(done.document.exit_code)


def parse_limits(words: Sequence[str]) -> dict[str, float]:
    """`PART=SECONDS` each; raises OptionError where it is not of that form, or there is no such part."""
    limits: dict[str, float] = {}
    for word in words:
        part, _, seconds = word.partition("=")
        try:
            limits[_part("--limit", part)] = float(seconds)
        except ValueError:
            limits[part] = 0.0
        if not limits[part] > 0:
            raise OptionError(f"--limit is {word!r}, expected {part}=SECONDS")
    return limits


def _part(flag: str, part: str) -> str:
    if part not in LIMITS_S:
        raise OptionError(f"{flag} knows no part {part!r}; known are: {', '.join(LIMITS_S)}")
    return part


def view_of(checked: Checked) -> Group:
    """Times, and what failed."""
    return Group(*_view(checked))


def _view(checked: Checked) -> Iterator[RenderableType]:
    times = table("Warm frames", "<run", "<side", "<CUDA graphs", "<clock", "<labels on", "p50", "p99")
    for name, document in checked.runs.items():
        for row in side_rows(document):
            times.add_row(name, *row)
    yield times
    for run in checked.document.steps:
        if run.ended != DONE:
            said = f": {one_line(run.said)[-_SAID:]}" if run.said else ""
            yield Text(f"{' '.join(filter(None, (run.step, run.bundle)))}: {run.ended}{said}")


def run() -> None:
    """The command under the name by which it is started."""
    app(prog_name="python -m tdnet_bench.gpu_check")
