"""Engines for all graphs of a bundle: what they are called, what they are, and what the bundle keeps of each."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from tdnet_export.engines.child import Request
from tdnet_export.engines.options import BuildEvent, BuildOptions, OnBuild
from tdnet_export.engines.process import ChildResult, run_child
from tdnet_export.engines.products import cuda_major, product_of, require_product
from tdnet_runtime.errors import OptionError
from tdnet_runtime.manifest import EngineMember, EngineSpec
from tdnet_runtime.preflight import ENGINE_PRECISIONS, PREFERRED, SIGNED_INT8, platform_name

__all__ = ["build_engines", "engine_key", "require_builder", "require_engine_precision"]

_NO_SECONDS: Mapping[str, float] = {}


def require_builder(backend: str) -> None:
    """Raise unless engines can be built for `backend` here: what the building process says with nothing to build.

    It imports the product and asks for its GPU, which takes a second or a few: to be asked before what takes minutes.

    Raises:
        OptionError: no such backend.
        MissingExtraError: the product or Polygraphy is not installed, or does not load.
        ExportError: TensorRT without a GPU.
    """
    require_product(backend)
    run_child(
        Request(backend=backend, precision=PREFERRED[0], options=BuildOptions(), graphs=()),
        {},
        lambda _: None,
    )


def build_engines(
    graphs: Mapping[str, bytes],
    *,
    backend: str,
    precision: str,
    options: BuildOptions | None = None,
    on_progress: OnBuild = lambda event: None,
    expected_s: Mapping[str, float] = _NO_SECONDS,
) -> tuple[EngineSpec, dict[str, bytes]]:
    """Build the engine of each graph, one after the other, in a process of their own.

    Args:
        graphs: all ONNX graphs of the bundle, by name, in one precision.
        backend: `tensorrt` (needs the GPU that the engines are for) or `tensorrt-rtx` (needs none).
        precision: of the graphs; an engine that is of another one is refused.
        options: None for the defaults.
        on_progress: see `OnBuild`.
        expected_s: what builds took last time, by graph; estimates only.

    Returns:
        The manifest's entry, and its members by name: for each graph the engine, its layers and its log.

    Raises:
        OptionError: no such backend, or a precision that engines are not built in.
        MissingExtraError: the product or Polygraphy is not installed.
        ExportError: a graph is refused, or its engine is not of the precision. Nothing stays.
    """
    require_engine_precision(precision)
    require_product(backend)
    options = options or BuildOptions()
    progress = _Progress(backend, precision, len(graphs), on_progress, dict(expected_s))
    request = Request(backend=backend, precision=precision, options=options, graphs=tuple(graphs))
    progress.begin_set()
    result = run_child(request, graphs, progress.event)
    module = product_of(backend).module
    recorded = options.as_dict()
    if (cuda := cuda_major(module)) is not None:
        recorded["cuda"] = cuda
    return _assembled(result, graphs, backend=backend, precision=precision, options=recorded)


def require_engine_precision(precision: str) -> None:
    """Raise OptionError unless engines are built from graphs in `precision`."""
    if precision not in ENGINE_PRECISIONS:
        raise OptionError(
            f"engines were asked in {precision}; expected {' or '.join(ENGINE_PRECISIONS)}: int8 graphs are made for CPUs, "
            f"and TensorRT takes their UINT8 steps for INT8, with half of the range cut off. Ask for {SIGNED_INT8}"
        )


def engine_key(
    *,
    product_version: str,
    compute_capabilities: tuple[str, ...],
    platform: str,
    precision: str,
    graph_digests: Mapping[str, str],
    options: Mapping[str, str],
) -> str:
    """The name of a set of engines: readable in front, and a digest of all that tells it from others."""
    device = "+".join(compute_capabilities) or "portable"
    all_of_it = {
        "product_version": product_version,
        "compute_capabilities": compute_capabilities,
        "platform": platform,
        "precision": precision,
        "graphs": dict(graph_digests),
        "options": dict(options),
    }
    canonical = json.dumps(all_of_it, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).hexdigest()[:12]
    return re.sub(r"[^A-Za-z0-9_.+=,@-]", "_", f"{product_version}-{device}-{platform}-{precision}-{digest}")


def _assembled(
    result: ChildResult,
    graphs: Mapping[str, bytes],
    *,
    backend: str,
    precision: str,
    options: dict[str, str],
) -> tuple[EngineSpec, dict[str, bytes]]:
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in graphs.items()}
    capabilities = () if result.compute_capability is None else (result.compute_capability,)
    key = engine_key(
        product_version=result.version,
        compute_capabilities=capabilities,
        platform=platform_name(),
        precision=precision,
        graph_digests=digests,
        options=options,
    )
    folder = f"engines/{backend}/{key}"
    members = {
        f"{folder}/{name}.{suffix}": data
        for name, files in result.files.items()
        for suffix, data in files.items()
    }
    spec = EngineSpec(
        backend=backend,
        key=key,
        precision=precision,
        product_version=result.version,
        compute_capabilities=capabilities,
        platform=platform_name(),
        options=options,
        graphs={
            name: EngineMember(
                engine=f"{folder}/{name}.engine",
                layers=f"{folder}/{name}.layers.json",
                log=f"{folder}/{name}.log",
                graph_sha256=digests[name],
                build_seconds=round(result.seconds[name], 3),
                half_share=round(result.half_share[name], 4),
                int8_share=round(result.int8_share[name], 4),
            )
            for name in graphs
        },
    )
    return spec, members


class _Progress:
    """Turns the child's events into the caller's, with estimates from builds of the same kind."""

    def __init__(
        self, backend: str, precision: str, total: int, on_progress: OnBuild, expected_s: dict[str, float]
    ) -> None:
        self._backend, self._precision, self._total = backend, precision, total
        self._on_progress = on_progress
        self._expected_s = expected_s
        self._last_s: dict[str, float] = {}  # by kind: subnet or apm
        self._done = 0

    def begin_set(self) -> None:
        self._tell(None)

    def event(self, event: dict[str, Any]) -> None:
        graph = event["graph"]
        kind = graph.rstrip("0123456789")
        if event["event"] == "begin":
            self._tell(graph, estimate_s=self._last_s.get(kind, self._expected_s.get(graph)))
            return
        self._done += 1
        self._last_s[kind] = event["seconds"]
        self._tell(graph, seconds=event["seconds"])

    def _tell(
        self, graph: str | None, *, seconds: float | None = None, estimate_s: float | None = None
    ) -> None:
        self._on_progress(
            BuildEvent(
                backend=self._backend,
                precision=self._precision,
                graph=graph,
                done=self._done,
                total=self._total,
                seconds=seconds,
                estimate_s=estimate_s,
            )
        )
