"""`--sha256`: the one bundle that a command may open."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["Sha256"]

Sha256 = Annotated[
    str | None,
    typer.Option(
        "--sha256",
        metavar="HEX",
        help="Refuse a bundle whose file has another SHA-256 (sha256sum X.plan), before anything in it is parsed.",
        show_default=False,
    ),
]
