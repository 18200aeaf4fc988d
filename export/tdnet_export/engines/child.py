"""The process that builds: graphs come in and engines go out as files, events as JSON lines on a pipe.

It imports one product and Polygraphy, and neither torch nor onnx. The folder holds `request.json`
and `<graph>.onnx`; the child adds `<graph>.engine`, `<graph>.layers.json` and `<graph>.log`. Events:

    {"event": "product", "version": …, "compute_capability": …}
    {"event": "begin", "graph": …}
    {"event": "end", "graph": …, "seconds": …, "half_share": …, "int8_share": …}
    {"event": "error", "message": …, "missing": …}     the last one; `missing` is true for an absent package
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from time import perf_counter
from typing import Any, TextIO

import msgspec

from tdnet_export.engines.builder import EngineBuilder
from tdnet_export.engines.half_check import checked_shares
from tdnet_export.engines.layers import layers_json
from tdnet_export.engines.options import BuildOptions
from tdnet_export.engines.products import product_of
from tdnet_export.termination import end_with
from tdnet_runtime.errors import ExportError, MissingExtraError, TdnetError

__all__ = ["REQUEST", "Request", "main"]

REQUEST = "request.json"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be built.

    Attributes:
        backend: of the engines.
        precision: that the graphs claim to be.
        options: of the builder.
        graphs: names, in the order of building.
    """

    backend: str
    precision: str
    options: BuildOptions
    graphs: tuple[str, ...]


def main(pipe: int, parent: int) -> None:
    """Build what the request in the current folder asks for, and exit.

    Args:
        pipe: file descriptor for the events.
        parent: process id of the parent, with which this process ends.
    """
    _end_with(parent)
    with os.fdopen(pipe, "w", buffering=1, encoding="utf-8") as events:
        try:
            _build_all(Path.cwd(), events)
        except TdnetError as error:
            missing = isinstance(error, MissingExtraError)
            _tell(events, event="error", message=str(error), missing=missing)


def _build_all(folder: Path, events: TextIO) -> None:
    request = msgspec.json.decode((folder / REQUEST).read_bytes(), type=Request)
    builder = EngineBuilder(product_of(request.backend), request.options)
    _tell(events, event="product", version=builder.version, compute_capability=builder.compute_capability)
    for graph in request.graphs:
        _tell(events, event="begin", graph=graph)
        started = perf_counter()
        built = builder.build(graph, folder / f"{graph}.onnx")
        seconds = perf_counter() - started
        try:
            shares = checked_shares(built.layers, graph=graph, precision=request.precision)
        except ExportError as error:
            raise ExportError(f"the engine of graph {graph!r} is not what was asked: {error}") from error
        for suffix, data in (
            ("engine", built.data),
            ("layers.json", layers_json(built.layers)),
            ("log", built.log),
        ):
            (folder / f"{graph}.{suffix}").write_bytes(data)
        _tell(
            events,
            event="end",
            graph=graph,
            seconds=seconds,
            half_share=shares.half,
            int8_share=shares.int8,
        )


def _tell(events: TextIO, **fields: Any) -> None:
    events.write(json.dumps(fields) + "\n")


def _end_with(parent: int) -> None:
    """Die when the parent does, and at once on Ctrl-C.

    The default action of SIGINT: Polygraphy would turn a KeyboardInterrupt in its log into SIGTERM,
    and one inside the product's C++ code would wait until the build is over.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    end_with(parent)
