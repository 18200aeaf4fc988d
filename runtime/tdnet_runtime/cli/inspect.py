"""`tdnet-inspect`: show what a bundle says about itself, and unpack it for other tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from tdnet_runtime.bundle import Bundle
from tdnet_runtime.bundle_extraction import extract
from tdnet_runtime.cli.inspect_view import show_bundle
from tdnet_runtime.cli.pinning import Sha256
from tdnet_runtime.extras import one_line
from tdnet_runtime.file_names import as_utf8

__all__ = ["app", "json_from_bundle"]

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

_EPILOG = """Examples:

    tdnet-inspect td2-fa18.plan

    tdnet-inspect td2-fa18.plan --extract unpacked/"""


@app.command(epilog=_EPILOG)
def inspect(
    bundle: Annotated[Path, typer.Argument(metavar="X.plan", help="Bundle to show.", show_default=False)],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the manifest, path and digests as JSON and nothing else.")
    ] = False,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--extract",
            metavar="DIR",
            help="Unpack graphs, engines and reports for other tools (Netron, trtexec, Polygraphy).",
            show_default=False,
        ),
    ] = None,
    sha256: Sha256 = None,
) -> None:
    """Verify a bundle (*.plan) as the runtime would, and show all that it says about itself."""
    with Bundle.open(bundle, sha256=sha256) as opened:
        written = None if directory is None else extract(opened, directory)
        if as_json:
            typer.echo(json_from_bundle(opened), nl=False)
            return
        console = Console(markup=False, highlight=False, emoji=False)
        show_bundle(opened, console)
        if written is not None:
            console.print(f"{len(written)} files were unpacked to {one_line(str(directory))}", soft_wrap=True)


def json_from_bundle(bundle: Bundle) -> str:
    """The bundle's path, digests and manifest as JSON, in ASCII."""
    described = {
        "path": as_utf8(str(bundle.path)),
        "digest": bundle.digest,
        "file_sha256": bundle.file_sha256(),
        "manifest": msgspec.to_builtins(bundle.manifest),
    }
    return json.dumps(described, indent=1) + "\n"
