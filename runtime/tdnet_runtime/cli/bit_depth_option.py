"""`--bit-depth`: how many bits the samples of 16-bit images use."""

from __future__ import annotations

from typing import Annotated

import typer

from tdnet_runtime.media.bit_depth import BIT_DEPTHS

__all__ = ["BitDepth"]

BitDepth = Annotated[
    int | None,
    typer.Option(
        min=BIT_DEPTHS[0],
        max=BIT_DEPTHS[-1],
        help="Of images of 16 bits whose samples use fewer; detected if not given.",
    ),
]
