"""What any `tdnet-run` tells at its end, but for the summary for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import typer

from tdnet_runtime.cli.run_document import write_run_document
from tdnet_runtime.cli.run_options import STDOUT, RunOptions
from tdnet_runtime.cli.run_view import damage_words
from tdnet_runtime.extras import say
from tdnet_runtime.media.damage import DamageLog
from tdnet_runtime.media.frames import Fact

__all__ = ["tell_damage", "tell_summary", "tell_warning"]


def tell_damage(damage: DamageLog, facts: Mapping[str, Fact], name: str = "") -> None:
    """What was damaged, and what the source wants to warn of, on stderr."""
    of = f"{name}: " if name else ""
    if words := damage_words(damage):
        say(f"tdnet-run: {of}{words}")
    if warning := facts.get("warning"):
        tell_warning(f"{of}{warning}")


def tell_warning(text: str) -> None:
    """One line on stderr."""
    say(f"tdnet-run: warning: {text}")


def tell_summary(options: RunOptions, document: str, *, show: Callable[[], None]) -> None:
    """The summary: for programs where it is asked for, and first, since a full stdout must not cost it; then for people.

    Args:
        options: of the run.
        document: for programs.
        show: prints that for people; not called where `document` goes to stdout.

    Raises:
        MediaError: `document` cannot be written; that for people is shown nevertheless.
    """
    if options.json == STDOUT:
        typer.echo(document, nl=False)
        return
    try:
        if options.json is not None:
            write_run_document(document, options.json)
    finally:
        show()
