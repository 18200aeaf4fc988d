"""Run the building process: hand over graphs, follow its events, and end it whatever happens."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tdnet_export.child_end import how_it_ended, last_words
from tdnet_export.engines.child import REQUEST, Request
from tdnet_export.engines.products import product_of
from tdnet_export.engines.timing_cache import with_absolute_folder
from tdnet_export.termination import sigterm_as_exit
from tdnet_runtime.errors import ExportError, MissingExtraError
from tdnet_runtime.temporary_folder import temporary_folder

__all__ = ["ChildResult", "run_child"]

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from tdnet_export.engines.child import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)
_SUFFIXES = ("engine", "layers.json", "log")
_STOP_SECONDS = 5
_OUTPUT = "output.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildResult:
    """What a building process made.

    Attributes:
        version: of the product.
        compute_capability: of the device; None for the portable set.
        seconds: that each build took, by graph.
        half_share: of each engine, by graph.
        int8_share: of each engine, by graph.
        files: the bytes of the engine, its layers and its log, by graph and `engine`, `layers.json` or `log`.
    """

    version: str
    compute_capability: str | None
    seconds: dict[str, float]
    half_share: dict[str, float]
    int8_share: dict[str, float]
    files: dict[str, dict[str, bytes]]


def run_child(
    request: Request, graphs: Mapping[str, bytes], on_event: Callable[[dict[str, Any]], None]
) -> ChildResult:
    """Build in a process of its own; its files lie in a temporary folder, of which nothing stays.

    Ctrl-C, SIGTERM and SIGHUP end it at once, and raise here what `sigterm_as_exit` says.

    Args:
        request: what to build.
        graphs: the ONNX graphs by name.
        on_event: called with each `begin` and `end` event.

    Raises:
        ExportError, MissingExtraError: as the child says; or it died.
    """
    try:
        with sigterm_as_exit(), temporary_folder("tdnet-engines-") as folder:
            (folder / REQUEST).write_bytes(msgspec.json.encode(request))
            for graph in request.graphs:
                (folder / f"{graph}.onnx").write_bytes(graphs[graph])
            return _followed(request, folder, on_event)
    except OSError as error:
        title = product_of(request.backend).title
        raise ExportError(
            f"building {title} engines failed: {error}; the temporary folder needs room for graphs and engines, "
            "set TMPDIR to one that has it"
        ) from error


def _followed(request: Request, folder: Path, on_event: Callable[[dict[str, Any]], None]) -> ChildResult:
    product: dict[str, Any] = {}
    ends: dict[str, dict[str, Any]] = {}
    failure: dict[str, Any] | None = None
    with _child(folder) as (process, events):
        for line in events:
            event = json.loads(line)
            if event["event"] == "error":
                failure = event
            elif event["event"] == "product":
                product = event
            else:
                if event["event"] == "end":
                    ends[event["graph"]] = event
                on_event(event)
        code = process.wait()
    if failure is not None:
        raise (MissingExtraError if failure["missing"] else ExportError)(failure["message"])
    if code != 0 or len(ends) < len(request.graphs):
        raise _death(request, folder, code)
    return ChildResult(
        version=product["version"],
        compute_capability=product["compute_capability"],
        seconds={graph: event["seconds"] for graph, event in ends.items()},
        half_share={graph: event["half_share"] for graph, event in ends.items()},
        int8_share={graph: event["int8_share"] for graph, event in ends.items()},
        files={
            graph: {suffix: (folder / f"{graph}.{suffix}").read_bytes() for suffix in _SUFFIXES}
            for graph in request.graphs
        },
    )


@contextlib.contextmanager
def _child(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Any]]:
    """The started process and its events; it is ended when the block is left, in whatever way."""
    reading, writing = os.pipe()
    with os.fdopen(reading, encoding="utf-8") as events:
        try:
            paths = [str(Path(entry).absolute()) for entry in sys.path]
            with (folder / _OUTPUT).open("wb") as output:
                process = subprocess.Popen(
                    [sys.executable, "-c", _START, json.dumps(paths), str(writing), str(os.getpid())],
                    cwd=folder,  # nothing that lies about in the user's folder is imported
                    env=with_absolute_folder(os.environ),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=[writing],
                    start_new_session=True,  # Ctrl-C reaches the parent alone, which ends the child
                )
        finally:
            os.close(writing)
        try:
            yield process, events
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _death(request: Request, folder: Path, code: int) -> BaseException:
    """The exception for a process that ended without a result."""
    if -code in (
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
    ):  # someone stopped the build, or Polygraphy passed on a Ctrl-C
        return KeyboardInterrupt()
    title = product_of(request.backend).title
    return ExportError(
        f"the process that builds {title} engines {how_it_ended(code)}: {last_words(folder / _OUTPUT)}"
    )
