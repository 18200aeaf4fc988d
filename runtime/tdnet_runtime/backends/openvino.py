"""OpenVINO on the CPU: the engine for processors with AVX-512, BF16 or VNNI.

How it is set up, and why (figures: docs/cpu.md):

* what graphs state in FP32 is run in FP32: where the processor has BF16, OpenVINO would use it unasked. `bf16` asks
  for it, and `int8-bf16` for it in all that INT8 graphs leave in FP32;
* one stream and all threads for each graph, since one frame is in flight;
* attention among past frames is a graph of its own, which can be run between two frames (`past_split`);
* threads are not pinned to cores: two segmenters with one thread each would share a core;
* all tensors are set once, when a stream opens, and are the stream's own arrays: the graphs exchange the memory
  without copies, and a frame allocates nothing here but what comes and goes while labels are made;
* two threads compile graphs, each on one core; no more, since each holds copies of a graph's weights meanwhile;
* compiled models are not cached in files: 0.3 s are not worth the space of the weights once more.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable
from typing import Any

from tdnet_runtime.backends.base import Session
from tdnet_runtime.backends.cpu_flags import own_cpuinfo, sums_int8_exactly
from tdnet_runtime.backends.graph_loader import GraphLoader
from tdnet_runtime.backends.graph_precision import IN_BF16, graph_precision, graphs_of, no_graphs
from tdnet_runtime.backends.label_cut import SCORES, CutGraph, cut_labels
from tdnet_runtime.backends.label_tail import LabelTails
from tdnet_runtime.backends.no_telemetry import import_without_telemetry
from tdnet_runtime.backends.openvino_core import DEVICE, new_core
from tdnet_runtime.backends.openvino_session import OpenVinoSession, checked
from tdnet_runtime.backends.past_split import PastBuffers, attends_among_past_frames, split_past
from tdnet_runtime.backends.thread_supply import require_threads, thread_count
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.errors import BackendError
from tdnet_runtime.forks import ForkBound
from tdnet_runtime.manifest import LABELS, GraphSpec, TensorSpec
from tdnet_runtime.preflight import SIGNED_INT8

__all__ = ["PREFERRED", "OpenVinoBackend", "keeps_its_end", "open_bundle", "unavailable", "unsuited"]

logger = logging.getLogger(__name__)

PREFERRED = ("fp32", "int8")
"""INT8 graphs are run unasked only where a bundle has no FP32 ones: they cost accuracy."""

_COMPILING = 2
_FEW, _FEW_IN_BF16 = 1 << 15, 1 << 17
"""Labels of a frame, below which OpenVINO's own end is the faster one (2026.4; docs/cpu.md)."""
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
    present = bundle.manifest.precisions
    if precision == SIGNED_INT8 or (precision is None and set(present) == {SIGNED_INT8}):
        return (
            f"OpenVINO (2026.4) computes graphs with signed INT8 steps wrongly, and {SIGNED_INT8} ones are made for "
            f"TensorRT: {'ask for' if 'int8' in present else 'export it again with --precision'} int8, or ask for the "
            f"backend onnxruntime{'' if precision else f' and for {SIGNED_INT8} by name'}"
        )
    graphs = None if precision is None else graphs_of(precision)
    reason = no_graphs(bundle, graphs, preferred=PREFERRED, refused=(SIGNED_INT8,))
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
    if graphs == "int8" and sums_int8_exactly(own_cpuinfo()) is False:
        logger.warning(
            "this processor has no VNNI: OpenVINO sums INT8 products in 16 bits here, which may saturate and change "
            "labels. Compare with tdnet-bench, or take backend='onnxruntime'."
        )
    return OpenVinoBackend(
        bundle, graphs=graphs, precision=precision or graphs, threads=thread_count(threads)
    )


def _no_bf16(precision: str) -> str | None:
    try:
        core = new_core()
    except BackendError as error:
        return str(error)
    able = core.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")
    if "BF16" in able:
        return None
    graphs = IN_BF16[precision]
    return (
        f"{precision} needs a processor with AVX-512 BF16 or AMX, which "
        f"{core.get_property(DEVICE, 'FULL_DEVICE_NAME')!r} is not (OpenVINO would compute in FP32 there); ask for "
        f"{graphs} (precision={graphs!r}, --precision {graphs})"
    )


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
        options = _options(precision=precision, threads=threads)
        self._scores: dict[str, TensorSpec] = {}
        self._between: dict[str, TensorSpec] = {}
        self._pasts: dict[str, Any] = {}

        def load(graph: GraphSpec, read: Callable[[], bytes]) -> Any:
            whole = keeps_its_end(graph, precision, threads)
            cut = CutGraph(read(), graph.outputs) if whole else cut_labels(graph, read())
            past, (graph, cut) = split_past(graph, cut)
            if past is not None:
                self._pasts[graph.name] = _compiled(core, *past, options)
                (self._between[graph.name],) = past[0].outputs
            compiled = _compiled(core, graph, cut, options)
            if cut.labels is not None:
                self._scores[graph.name] = _scores(graph.name, cut, compiled)
            return compiled

        loader = GraphLoader(bundle, graphs, load, threads=threads)
        count = len(bundle.manifest.graphs) + sum(map(attends_among_past_frames, bundle.manifest.graphs))
        _require_threads(threads, graphs=count, helpers=loader.helpers)
        core = new_core()
        self._compiled: dict[str, Any] = loader.run()

    def session(self) -> Session:
        """See `Backend.session`."""
        self.require_own_process("session()")
        return OpenVinoSession(
            self._compiled,
            self._pasts,
            self._openvino.Tensor,
            tails=LabelTails(self._scores),
            between=PastBuffers(self._between),
            share_scratch=self.share_scratch,
        )

    def close(self) -> None:
        """See `Backend.close`."""
        if not self.stranded:
            self._compiled = self._pasts = {}


def keeps_its_end(graph: GraphSpec, precision: str, threads: int) -> bool:
    """Whether OpenVINO makes the graph's labels itself: few are sooner made so, with threads to share them."""
    pixels = next((math.prod(spec.shape) for spec in graph.outputs if spec.name == LABELS), 0)
    return threads > 1 and pixels < (_FEW_IN_BF16 if precision in IN_BF16 else _FEW)


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


def _compiled(core: Any, graph: GraphSpec, cut: CutGraph, options: dict[str, Any]) -> Any:
    with checked(f"OpenVINO cannot load graph {graph.name!r}"):
        model = core.read_model(cut.data)
    _check_tensors(graph, cut, model)
    with checked(f"OpenVINO cannot load graph {graph.name!r}"):
        return core.compile_model(model, DEVICE, options)


def _scores(graph: str, cut: CutGraph, model: Any) -> TensorSpec:
    """What OpenVINO says of a cut graph's scores."""
    dtype, sides = _described(model.output(SCORES))
    return cut.scores(graph, dtype, sides)


def _described(port: Any) -> tuple[str, Any]:
    """Its dtype, and its shape: a list of its sides where they are fixed."""
    kind, shape = port.get_element_type().get_type_name(), port.get_partial_shape()
    return _DTYPES.get(kind, kind), list(port.get_shape()) if shape.is_static else str(shape)


def _check_tensors(graph: GraphSpec, cut: CutGraph, model: Any) -> None:
    """The graph's own inputs and outputs must be the manifest's: names, shapes and dtypes.

    OpenVINO leaves out inputs that nothing reads; there is nothing to be set then.
    """
    found = {port.get_any_name(): _described(port) for port in (*model.inputs, *model.outputs)}
    tensors = (*(t for t in graph.inputs if t.name in found), *cut.outputs)
    if cut.labels is not None:
        tensors = (*tensors, _scores(graph.name, cut, model))
    stated = {tensor.name: (tensor.dtype, list(tensor.shape)) for tensor in tensors}
    if stated != found:
        names = sorted(name for name in stated.keys() | found.keys() if stated.get(name) != found.get(name))
        detail = "; ".join(f"{name}: graph {found.get(name)}, manifest {stated.get(name)}" for name in names)
        raise BackendError(
            f"graph {graph.name!r} does not have the tensors that the manifest states: {detail}. Export again."
        )
