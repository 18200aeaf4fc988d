"""OpenVINO on the CPU: the engine for processors with AVX-512, BF16 or VNNI.

How it is set up, and why (figures: docs/cpu.md):

* what graphs state in FP32 is run in FP32: where the processor has BF16, OpenVINO would use it unasked. `bf16` asks
  for it, and `int8-bf16` for it in all that INT8 graphs leave in FP32;
* one stream and all threads for each graph, since one frame is in flight;
* threads are not pinned to cores: two segmenters with one thread each would share a core;
* all tensors are set once, when a stream opens, and are the stream's own arrays: the graphs exchange the memory
  without copies, and a frame allocates nothing here;
* two threads compile graphs, each on one core; no more, since each holds copies of a graph's weights meanwhile;
* compiled models are not cached in files: 0.3 s are not worth the space of the weights once more.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tdnet_runtime.backends.base import Binding, Buffer, Program, Session
from tdnet_runtime.backends.cpu_flags import cpu_flags
from tdnet_runtime.backends.graph_loader import GraphLoader
from tdnet_runtime.backends.graph_precision import IN_BF16, graph_precision, graphs_of, no_graphs
from tdnet_runtime.backends.host import HostBuffer
from tdnet_runtime.backends.no_telemetry import import_without_telemetry
from tdnet_runtime.backends.thread_supply import require_threads, thread_count
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.errors import BackendError
from tdnet_runtime.forks import ForkBound
from tdnet_runtime.manifest import GraphSpec, TensorSpec
from tdnet_runtime.preflight import SIGNED_INT8

__all__ = ["PREFERRED", "OpenVinoBackend", "open_bundle", "unavailable", "unsuited"]

logger = logging.getLogger(__name__)

PREFERRED = ("fp32", "int8")
"""INT8 graphs are run unasked only where a bundle has no FP32 ones: they cost accuracy."""

_DEVICE = "CPU"
_CPUINFO = Path("/proc/cpuinfo")
_X86 = "fpu"  # every x86 processor names it, no other one
_EXACT = {"avx512_vnni", "avx_vnni", "amx_int8"}  # x86's instructions whose INT8 sums do not saturate
_COMPILING = 2
_DTYPES = {"u8": "uint8", "f16": "float16", "f32": "float32"}


def unavailable() -> str | None:
    """Why OpenVINO cannot be used here; None where it can."""
    try:
        _ = import_without_telemetry("openvino").Core  # an extra: imported where it is needed
    except (ImportError, AttributeError) as error:  # AttributeError: a folder that is left after an uninstall
        return f"OpenVINO is not installed ({error}); install it with: pip install 'tdnet-deploy[openvino]'"
    except Exception as error:  # whatever its libraries raise, another engine may do
        return f"OpenVINO does not load ({error}); install it again: pip install --force-reinstall openvino"
    return None


def unsuited(bundle: Bundle, *, precision: str | None) -> str | None:
    """Why this bundle cannot be run; None where it can."""
    if precision == SIGNED_INT8:
        return (
            f"OpenVINO (2026.4) computes graphs with signed INT8 steps wrongly, and {SIGNED_INT8} ones are made for "
            "TensorRT: ask for int8, or for the backend onnxruntime"
        )
    graphs = None if precision is None else graphs_of(precision)
    reason = no_graphs(bundle, graphs, preferred=PREFERRED)
    return _no_bf16(precision) if reason is None and precision in IN_BF16 else reason


def open_bundle(bundle: Bundle, *, precision: str | None, threads: int | None) -> OpenVinoBackend:
    """Load all graphs of the bundle.

    Raises:
        BackendError: OpenVINO refuses a graph, or the system the threads.
        BundleError: the file was changed since it was opened.
    """
    asked = None if precision is None else graphs_of(precision)
    graphs = graph_precision(bundle, asked, preferred=PREFERRED)
    assert graphs is not None  # see `unsuited`
    if graphs == "int8" and _saturates():
        logger.warning(
            "this processor has no VNNI: OpenVINO sums INT8 products in 16 bits here, which may saturate and change "
            "labels. Compare with tdnet-bench, or take backend='onnxruntime'."
        )
    return OpenVinoBackend(
        bundle, graphs=graphs, precision=precision or graphs, threads=thread_count(threads)
    )


def _no_bf16(precision: str) -> str | None:
    core = import_without_telemetry("openvino").Core()
    able = core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")
    if "BF16" in able:
        return None
    graphs = IN_BF16[precision]
    return (
        f"{precision} needs a processor with AVX-512 BF16 or AMX, which "
        f"{core.get_property(_DEVICE, 'FULL_DEVICE_NAME')!r} is not (OpenVINO would compute in FP32 there); ask for "
        f"{graphs} (precision={graphs!r}, --precision {graphs})"
    )


def _saturates() -> bool:
    """True on an x86 processor that lacks all of `_EXACT`; False where the system does not tell."""
    try:
        flags = cpu_flags(_CPUINFO.read_text())
    except OSError:
        return False
    return _X86 in flags and not _EXACT & flags


@contextmanager
def _checked(doing: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # OpenVINO raises RuntimeError and pybind11's own
        raise BackendError(f"{doing}: {' '.join(str(error).split())}") from error  # it breaks its lines


class SetGraphs:
    """Graphs in order, each with a request whose tensors never change.

    Args:
        requests: by the graph's name.
        done: what is called after each request, with its graph's name.
    """

    def __init__(self, requests: list[tuple[str, Any]], done: Callable[[str], None] | None) -> None:
        self._requests = requests
        self._done = done

    def run(self) -> None:
        """See `Program.run`."""
        for graph, request in self._requests:
            with _checked(f"OpenVINO failed in graph {graph!r}"):
                request.infer(share_outputs=True)  # the result, which would be a copy, is not used
                if self._done is not None:
                    self._done(graph)


class OpenVinoSession:
    """Buffers and requests of one stream.

    Args:
        compiled: models, by graph; the backend's own.
        tensor: the class `openvino.Tensor`.
        share_scratch: see `OpenVinoBackend`.
    """

    def __init__(self, compiled: dict[str, Any], tensor: Any, *, share_scratch: bool) -> None:
        self._compiled = compiled
        self._tensor = tensor
        self._share_scratch = share_scratch

    def allocate(self, spec: TensorSpec, *, host_visible: bool = False) -> Buffer:
        """See `Session.allocate`; all memory is the host's."""
        return HostBuffer(spec)

    def prepare(self, bindings: Sequence[Binding]) -> Program:
        """See `Session.prepare`."""
        requests = []
        for graph, tensors in bindings:
            with _checked(f"setting the tensors of graph {graph!r}"):
                compiled = self._compiled[graph]
                request = compiled.create_infer_request()
                for port in (*compiled.inputs, *compiled.outputs):
                    # A Cast from bool to uint8 vanishes (2026.4): its port then has both values' names, in any order.
                    (name,) = port.get_names() & tensors.keys()
                    array = tensors[name].host
                    request.set_tensor(port, self._tensor(array, shared_memory=True))
            requests.append((graph, request))
        return SetGraphs(requests, self._release_scratch if self._share_scratch else None)

    def _release_scratch(self, graph: str) -> None:
        self._compiled[graph].release_memory()  # waits while another stream runs it

    def close(self) -> None:
        """See `Session.close`."""
        self._compiled = {}


class OpenVinoBackend(ForkBound):
    """All graphs of a bundle, compiled for the CPU.

    Args:
        bundle: verified; read here and not needed afterwards.
        graphs: precision of the graphs to load.
        precision: that they are computed in: that of the graphs, or a key of `IN_BF16`.
        threads: of each graph.

    Attributes:
        share_scratch: streams that are opened from now on give back the memory that a graph computes in when it is done, so
            that the next one gets it: much less memory, the same results, and where blocks are large a slower frame
            (docs/cpu.md). False at first.
    """

    fork_error = BackendError
    name = "openvino"

    def __init__(self, bundle: Bundle, *, graphs: str, precision: str, threads: int) -> None:
        self._openvino = import_without_telemetry("openvino")
        self.precision = precision
        self.share_scratch = False
        version = self._openvino.get_version().split("-")[0]
        self.description = f"OpenVINO {version}, CPU, {threads} thread(s), {precision}"
        core = self._openvino.Core()
        options = _options(precision=precision, threads=threads)

        def load(graph: GraphSpec, data: bytes) -> Any:
            return _compiled(core, graph, data, options)

        loader = GraphLoader(bundle, graphs, load, threads=threads)
        _require_threads(threads, graphs=len(bundle.manifest.graphs), helpers=loader.helpers)
        self._compiled: dict[str, Any] = loader.run()

    def session(self) -> Session:
        """See `Backend.session`."""
        self.require_own_process("session()")
        return OpenVinoSession(self._compiled, self._openvino.Tensor, share_scratch=self.share_scratch)

    def close(self) -> None:
        """See `Backend.close`."""
        if not self.stranded:
            self._compiled = {}


def _require_threads(threads: int, *, graphs: int, helpers: int) -> None:
    """One pool computes, of no more threads than the machine has cores; each graph has two that hand work over."""
    pool, compiling = min(threads, os.cpu_count() or 1), _COMPILING * (1 + helpers) + helpers
    require_threads(
        pool + 2 * graphs + compiling,
        engine="OpenVINO",
        purpose=f"{pool} that compute, two for each of {graphs} graphs, {compiling} while they are compiled",
    )


def _options(*, precision: str, threads: int) -> dict[str, Any]:
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": "bf16" if precision in IN_BF16 else "f32",
    }


def _compiled(core: Any, graph: GraphSpec, data: bytes, options: dict[str, Any]) -> Any:
    with _checked(f"OpenVINO cannot load graph {graph.name!r}"):
        model = core.read_model(data)
    _check_tensors(graph, model)
    with _checked(f"OpenVINO cannot load graph {graph.name!r}"):
        return core.compile_model(model, _DEVICE, options)


def _check_tensors(graph: GraphSpec, model: Any) -> None:
    """The graph's own inputs and outputs must be the manifest's: names, shapes and dtypes.

    OpenVINO leaves out inputs that nothing reads; there is nothing to be set then.
    """
    found = {}
    for port in (*model.inputs, *model.outputs):
        kind, shape = port.get_element_type().get_type_name(), port.get_partial_shape()
        sides = list(port.get_shape()) if shape.is_static else str(shape)
        found[port.get_any_name()] = (_DTYPES.get(kind, kind), sides)
    tensors = (*(t for t in graph.inputs if t.name in found), *graph.outputs)
    stated = {tensor.name: (tensor.dtype, list(tensor.shape)) for tensor in tensors}
    if stated != found:
        names = sorted(name for name in stated.keys() | found.keys() if stated.get(name) != found.get(name))
        detail = "; ".join(f"{name}: graph {found.get(name)}, manifest {stated.get(name)}" for name in names)
        raise BackendError(
            f"graph {graph.name!r} does not have the tensors that the manifest states: {detail}. Export again."
        )
