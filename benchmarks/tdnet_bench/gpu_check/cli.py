"""`python -m tdnet_bench.gpu_check`: parse the flags, run the check, show it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tdnet_bench.gpu_check.check import check, exit_code
from tdnet_bench.gpu_check.options import CheckOptions, parse_limits
from tdnet_bench.gpu_check.process import launch
from tdnet_bench.gpu_check.schedule import LIMITS_S
from tdnet_bench.gpu_check.view import view_of
from tdnet_runtime.extras import one_line

__all__ = ["app", "run"]

_EPILOG = (
    "Exit codes: 0 every question was answered; 1 an error, such as no GPU; 2 wrong usage; 3 something failed or was "
    "left out, the document says what; 130 interrupted; 143, 129 terminated."
)

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(epilog=_EPILOG)
def gpu_check(
    *,
    plan: Annotated[list[Path], typer.Option(metavar="X.plan", help="Bundle to check. Repeatable.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for <gpu>-<date>.json.")],
    ckpt: Annotated[
        list[Path] | None,
        typer.Option(help="Checkpoint of a bundle, so that PyTorch's labels mean something. Repeatable."),
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.1, help="For everything.")] = 8.0,
    limit: Annotated[
        list[str] | None,
        typer.Option(metavar="PART=SECONDS", help=f"For a part: {', '.join(LIMITS_S)}. Repeatable."),
    ] = None,
    skip: Annotated[list[str] | None, typer.Option(metavar="PART", help="Leave out. Repeatable.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Timed frames of each path.")] = 120,
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
        skip=tuple(skip or ()),
        rounds=rounds,
        pictures=pictures,
        commit=commit,
    )
    done = check(
        options, launch=launch, tell=lambda line: typer.echo(one_line(f"gpu-check: {line}"), err=True)
    )
    Console().print(view_of(done.document))
    typer.echo(str(done.path))
    raise typer.Exit(exit_code(done.document))


def run() -> None:
    """The command under the name by which it is started."""
    app(prog_name="python -m tdnet_bench.gpu_check")
