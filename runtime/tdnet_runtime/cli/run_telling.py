"""What any `tdnet-run` tells at its end, but for the summary for people."""

from __future__ import annotations

from collections.abc import Mapping

import typer

from tdnet_runtime.cli.run_document import write_run_document
from tdnet_runtime.cli.run_options import STDOUT, RunOptions
from tdnet_runtime.cli.run_view import damage_words
from tdnet_runtime.extras import one_line
from tdnet_runtime.media.damage import DamageLog
from tdnet_runtime.media.frames import Fact

__all__ = ["tell_damage", "tell_warning", "write_summary"]


def tell_damage(damage: DamageLog, facts: Mapping[str, Fact], name: str = "") -> None:
    """What was damaged, and what the source wants to warn of, on stderr."""
    of = f"{name}: " if name else ""
    if words := damage_words(damage):
        typer.echo(one_line(f"tdnet-run: {of}{words}"), err=True)
    if warning := facts.get("warning"):
        tell_warning(f"{of}{warning}")


def tell_warning(text: str) -> None:
    """One line on stderr."""
    typer.echo(one_line(f"tdnet-run: warning: {text}"), err=True)


def write_summary(options: RunOptions, document: str) -> None:
    """The summary for programs, where it is asked for.

    Raises:
        MediaError: it cannot be written.
    """
    if options.json is None:
        return
    if options.json == STDOUT:
        typer.echo(document, nl=False)
    else:
        write_run_document(document, options.json)
