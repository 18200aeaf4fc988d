"""The command: every page of the checkout that this file belongs to, made anew."""

from __future__ import annotations

from pathlib import Path

import typer

from tdnet_bench.published.pages import pages_of, publish

__all__ = ["app", "run"]

_ROOT = Path(__file__).parents[3]

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def published() -> None:
    """Make the tables of README.md and docs/*.md anew from benchmarks/results."""
    changed = publish(_ROOT)
    for page in pages_of(_ROOT):
        typer.echo(f"{page.relative_to(_ROOT)}: {'written' if page in changed else 'as it was'}")


def run() -> None:
    """The command under the name by which it is started."""
    app(prog_name="python -m tdnet_bench.published")
