"""Engines of TensorRT and TensorRT-RTX from three sources, behind what a part needs of them.

The bundle's own; those that `tdnet-export --rebuild` makes here; and, for TensorRT-RTX, engines for this very
GPU (`ComputeCapability.CURRENT`), since its portable ones do not run on every GPU.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tdnet_runtime import Bundle
from tdnet_runtime.backends.trt_bundle import facts_of, open_device
from tdnet_runtime.engine_header import PRODUCTS
from tdnet_runtime.errors import BackendError
from tdnet_runtime.extras import one_line
from tdnet_runtime.gpu.backend import GpuBackend
from tdnet_runtime.gpu.device import Device
from tdnet_runtime.gpu.engine import Engine, EngineContext, EngineTensor
from tdnet_runtime.gpu.trt_engine import TrtRuntime
from tdnet_runtime.preflight import PREFERRED, choose_engines

__all__ = ["EngineFiles", "EngineShop", "TrtShop", "Uncaptured", "engine_from_graph", "rebuild"]

_HEADER_BYTES = 4096  # of an engine, for the product's own check
_LOG_LINES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFiles:
    """A set of engines.

    Attributes:
        source: where they are from.
        precision: of their graphs.
        data: the serialised engines by graph.
    """

    source: str
    precision: str
    data: Mapping[str, bytes]


class EngineShop(Protocol):
    """Where a part gets engines, and backends with them.

    Attributes:
        name: of the backend.
    """

    name: str

    def engines_of(self, bundle: Bundle) -> EngineFiles:
        """The bundle's engines that fit this machine; BackendError where none does."""

    def validity(self, bundle: Bundle) -> dict[str, str]:
        """What the product itself says of each of the bundle's sets, by title."""

    def build_for_this_gpu(self, bundle: Bundle) -> EngineFiles:
        """Engines that run on this GPU alone; BackendError where they cannot be built."""

    def backend(self, bundle: Bundle, files: EngineFiles, *, captured: bool) -> GpuBackend:
        """Load engines; without `captured`, streams use no CUDA graphs."""


class Uncaptured:
    """An engine whose work is never captured; see `Engine`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.graph = engine.graph
        self.tensors: tuple[EngineTensor, ...] = tuple(engine.tensors)
        self.activation_bytes = engine.activation_bytes

    def create_context(self) -> EngineContext:
        """See `Engine`."""
        return _UncapturedContext(self._engine.create_context())

    def close(self) -> None:
        """See `Engine`."""
        self._engine.close()


class _UncapturedContext:
    """See `EngineContext`."""

    def __init__(self, context: EngineContext) -> None:
        self.set_activation_memory = context.set_activation_memory
        self.set_address = context.set_address
        self.enqueue = context.enqueue
        self.close = context.close

    def obstacle_to_capture(self, stream: int) -> str | None:
        return "this check asked for a run without CUDA graphs"


class TrtShop:
    """See `EngineShop`.

    Args:
        name: `tensorrt` or `tensorrt-rtx`.

    Raises:
        BackendError: no GPU.
        ImportError: the product is not installed.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._api: Any = importlib.import_module(name.replace("-", "_"))
        self._device: Device = open_device()
        self._facts = facts_of(name, self._api, self._device)
        self._product = f"{PRODUCTS[name]} {self._facts.product_version}"

    def engines_of(self, bundle: Bundle) -> EngineFiles:
        """See `EngineShop`."""
        spec = choose_engines(bundle, self._facts, precision=None)
        data = {graph.name: bundle.read(spec.graphs[graph.name].engine) for graph in bundle.manifest.graphs}
        return EngineFiles(source=spec.title, precision=spec.precision, data=data)

    def validity(self, bundle: Bundle) -> dict[str, str]:
        """See `EngineShop`; only TensorRT-RTX says anything."""
        found: dict[str, str] = {}
        runtime = self._api.Runtime(_collecting_logger(self._api))
        if not hasattr(runtime, "get_engine_validity"):
            return found
        for spec in bundle.manifest.engines:
            if spec.backend == self.name:
                member = next(iter(spec.graphs.values())).engine
                found[spec.title] = str(runtime.get_engine_validity(bundle.read(member)[:_HEADER_BYTES]))
        return found

    def build_for_this_gpu(self, bundle: Bundle) -> EngineFiles:
        """See `EngineShop`; for TensorRT `--rebuild` does it already."""
        if not hasattr(self._api, "ComputeCapability"):
            raise BackendError(f"{self._product} builds for this GPU anyway")
        precision = next(p for p in PREFERRED if p in bundle.manifest.precisions)
        data = {
            graph.name: engine_from_graph(
                self._api, graph.name, bundle.read(graph.members[precision]), capability="CURRENT"
            )
            for graph in bundle.manifest.graphs
        }
        return EngineFiles(source="built here for this GPU alone", precision=precision, data=data)

    def backend(self, bundle: Bundle, files: EngineFiles, *, captured: bool) -> GpuBackend:
        """See `EngineShop`."""
        engines: list[Engine] = []
        with self._device.current():
            runtime = TrtRuntime(self._api, self._product)
            for graph, data in files.data.items():
                engine = runtime.load(graph, data)
                engines.append(engine if captured else Uncaptured(engine))
            return GpuBackend(
                self._device,
                engines,
                bundle.manifest.at(files.precision),
                name=self.name,
                precision=files.precision,
                description=f"{self._product}, {self._device.name}, {files.precision}, {files.source}",
            )


def engine_from_graph(trt: Any, graph: str, onnx: bytes, *, capability: str) -> bytes:
    """Build one graph with TensorRT-RTX for one compute capability.

    Args:
        trt: the module.
        graph: its name, for errors.
        onnx: the graph.
        capability: name of a member of `trt.ComputeCapability`.

    Raises:
        BackendError: it cannot be built; the message has the product's log.
    """
    log = _collecting_logger(trt)
    builder = trt.Builder(log)
    flags = 0
    if hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED"):
        flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, log)
    if not parser.parse(onnx):
        said = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
        raise BackendError(f"the parser does not take graph {graph!r}: {said}")
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    config.num_compute_capabilities = 1
    if not config.set_compute_capability(getattr(trt.ComputeCapability, capability), 0):
        raise BackendError(f"building for compute capability {capability} is refused: {log.said()}")
    serialized = builder.build_serialized_network(network, config)
    if serialized is None:
        raise BackendError(f"graph {graph!r} cannot be built for {capability}: {log.said()}")
    return bytes(serialized)


def _collecting_logger(trt: Any) -> Any:
    """A logger, derived from the product's own, that keeps errors and warnings."""

    class Collecting(trt.ILogger):  # type: ignore[misc]  # the module is Any
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.lines: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.WARNING:
                self.lines.append(message.strip())

        def said(self) -> str:
            return "; ".join(self.lines[-_LOG_LINES:]) or "it logged no reason"

    return Collecting()


def rebuild(plan: Path, backend: str) -> str:
    """Build the bundle's engines with `tdnet-export --rebuild`, in place; what it said last.

    Raises:
        BackendError: it failed; the message is its own.
    """
    code = "from tdnet_export import main; main()"
    command = [sys.executable, "-c", code, "--rebuild", str(plan), "--backend", backend]
    done = subprocess.run(command, capture_output=True, text=True)
    said = one_line((done.stderr if done.returncode else done.stdout).strip()[-2000:])
    if done.returncode:
        raise BackendError(f"tdnet-export --rebuild ended with {done.returncode}: {said}")
    return said
