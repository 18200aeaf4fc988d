"""`tdnet-export --triton`: its options, and a bundle put into a model repository."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tdnet_export.triton.options import TRITON_BACKENDS, TritonOptions
from tdnet_export.triton.repository import write_models
from tdnet_export.triton.view import show_models
from tdnet_export.view import StageProgress
from tdnet_runtime.cli.notices import notice_console
from tdnet_runtime.errors import TdnetError

__all__ = ["Backends", "PresentBundle", "Repository", "Streams", "put_bundle", "put_new_bundle"]

Repository = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Put the bundle into this model repository of a Triton Inference Server, made if it is not there.",
        show_default=False,
    ),
]
PresentBundle = Annotated[
    Path | None,
    typer.Option(
        metavar="X.plan",
        help="With --triton, instead of --ckpt: a bundle that there is; needs no checkpoint and no torch.",
        show_default=False,
    ),
]
Backends = Annotated[
    list[str] | None,
    typer.Option(
        metavar="|".join(TRITON_BACKENDS),
        help="With --triton: the server's backend, a model for each; may be repeated. onnxruntime and tensorrt get all "
        "paths in one graph, whose memory the server keeps. [default: python]",
        show_default=False,
    ),
]
Streams = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="With --triton: videos that are served at once; further ones wait. [default: 8]",
        show_default=False,
    ),
]


def put_bundle(bundle: Path, options: TritonOptions, sha256: str | None = None) -> None:
    """Write the models, and show them.

    Raises:
        TdnetError: as `write_models`.
    """
    with StageProgress(notice_console()) as progress:
        summary = write_models(bundle, options, sha256=sha256, on_progress=progress)
    show_models(summary, Console(highlight=False))


def put_new_bundle(bundle: Path, options: TritonOptions) -> None:
    """As `put_bundle`, of a bundle that was just exported, which took minutes.

    Raises:
        TdnetError: as `write_models`; the message says that the bundle is there, and how to go on with it.
    """
    try:
        put_bundle(bundle, options)
    except TdnetError as error:
        words = ["tdnet-export", "--bundle", str(bundle), "--triton", str(options.folder)]
        words += [word for backend in options.backends for word in ("--triton-backend", backend)]
        words += ["--triton-streams", str(options.streams)]
        raise type(error)(
            f"{str(error).rstrip('.')}; the bundle itself was exported, go on with it: {shlex.join(words)}"
        ) from error
