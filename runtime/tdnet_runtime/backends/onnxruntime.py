"""ONNX Runtime on the CPU: the embedded default.

How it is set up, and why (figures: docs/adr/0004, benchmarks/experiments/ort_settings.py):

* every session has its own thread pool, which does not spin: one graph runs at a time, and
  spinning threads of the others would take its cores. ONNX Runtime's one pool for all spins, and
  forbids the application's own sessions in the same process;
* all sessions share one arena and plan no blocks of their own: their scratch memory is then the
  largest one's, not the sum;
* on a virtual machine its threads stay off one core, their caller's (`thread_placement`);
* INT8 graphs are brought into the form that its kernels want (`ort_int8`), and attention is taken apart where it
  has many scores (`ort_attention`);
* attention among past frames is a graph of its own, which can be run between two frames (`past_split`);
* labels are made of the graphs' scores in NumPy (`label_tail`), which is several times as fast;
* all tensors are bound once, when a stream opens; a frame allocates nothing here but
  what comes and goes while labels are made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tdnet_runtime.backends.base import Binding, Buffer, Program, Session, SplitProgram
from tdnet_runtime.backends.graph_loader import GraphLoader
from tdnet_runtime.backends.graph_precision import graph_precision, no_graphs
from tdnet_runtime.backends.heap import give_back
from tdnet_runtime.backends.host import HostBuffer
from tdnet_runtime.backends.label_cut import SCORES, CutGraph, cut_labels
from tdnet_runtime.backends.label_tail import LabelTails
from tdnet_runtime.backends.no_telemetry import import_without_telemetry
from tdnet_runtime.backends.ort_form import own_form
from tdnet_runtime.backends.ort_options import session_options
from tdnet_runtime.backends.ort_session import new_session
from tdnet_runtime.backends.ort_tensors import DTYPES, check_tensors
from tdnet_runtime.backends.past_split import PastBuffers, attends_among_past_frames, split_past
from tdnet_runtime.backends.thread_supply import require_threads, thread_count
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.errors import BackendError
from tdnet_runtime.forks import ForkBound
from tdnet_runtime.manifest import GraphSpec, TensorSpec

__all__ = [
    "PREFERRED",
    "HostSession",
    "OnnxRuntimeBackend",
    "load_graph",
    "open_bundle",
    "unavailable",
    "unsuited",
]

PREFERRED = ("fp32",)
"""FP16 graphs are slower on a CPU than FP32 ones, and are never run unasked."""


def unavailable() -> str | None:
    """Why ONNX Runtime cannot be used here; None where it can."""
    try:
        _ = import_without_telemetry("onnxruntime").InferenceSession  # an extra: imported where it is needed
    except (ImportError, AttributeError) as error:  # AttributeError: a folder that is left after an uninstall
        return f"ONNX Runtime is not installed ({error}); install it with: pip install 'tdnet-deploy[cpu]'"
    except Exception as error:  # whatever its libraries raise, another engine may do
        return f"ONNX Runtime does not load ({error}); install it again: pip install --force-reinstall onnxruntime"
    return None


def unsuited(bundle: Bundle, *, precision: str | None) -> str | None:
    """Why this bundle cannot be run; None where it can."""
    return no_graphs(bundle, precision, preferred=PREFERRED)


def open_bundle(bundle: Bundle, *, precision: str | None, threads: int | None) -> OnnxRuntimeBackend:
    """Load all graphs of the bundle.

    Raises:
        BackendError: ONNX Runtime refuses a graph, or the system the threads.
        BundleError: the file was changed since it was opened.
    """
    chosen = graph_precision(bundle, precision, preferred=PREFERRED)
    assert chosen is not None  # see `unsuited`
    return OnnxRuntimeBackend(bundle, precision=chosen, threads=thread_count(threads))


def load_graph(ort: Any, name: str, data: bytes, options: Any, *, without: Sequence[str] = ()) -> Any:
    """A session of one graph on the CPU.

    Args:
        ort: the module `onnxruntime`.
        name: of the graph, for the message.
        data: the graph, in ONNX's or ONNX Runtime's own format.
        options: see `session_options`.
        without: optimizers that are not to run.

    Raises:
        BackendError: ONNX Runtime refuses it.
    """
    try:
        return new_session(ort, data, options, provider="CPUExecutionProvider", without=without)
    except Exception as error:  # ONNX Runtime's errors have no public base class
        raise BackendError(f"ONNX Runtime cannot load graph {name!r}: {error}") from error


class BoundGraphs:
    """Graphs in order, each with an I/O binding that never changes."""

    def __init__(self, calls: list[tuple[str, Callable[[], None]]]) -> None:
        self._calls = calls

    def run(self) -> None:
        """See `Program.run`."""
        for graph, call in self._calls:
            try:
                call()
            except Exception as error:  # ONNX Runtime's errors have no public base class
                raise BackendError(f"ONNX Runtime failed in graph {graph!r}: {error}") from error


class HostSession:
    """Buffers and bindings of one stream.

    Args:
        sessions: of ONNX Runtime, by graph; the backend's own.
        pasts: of ONNX Runtime, by graph, for the first parts of those that were split; the backend's own.
        ort: the module `onnxruntime`.
        tails: what makes labels of its scores; its own.
        between: what its first parts hand over; its own.
    """

    def __init__(
        self,
        sessions: dict[str, Any],
        pasts: dict[str, Any],
        ort: Any,
        *,
        tails: LabelTails,
        between: PastBuffers,
    ) -> None:
        self._sessions = sessions
        self._pasts = pasts
        self._ort = ort
        self._tails = tails
        self._between = between

    def allocate(self, spec: TensorSpec, *, host_visible: bool = False) -> Buffer:
        """See `Session.allocate`; all memory is the host's."""
        return HostBuffer(spec)

    def prepare(self, bindings: Sequence[Binding]) -> Program:
        """See `Session.prepare`."""
        past, bindings = self._between.bound(bindings)
        calls = []
        for graph, tensors in bindings:
            tensors, finish = self._tails.bound(graph, tensors)
            calls.append((graph, self._bound(self._sessions[graph], tensors, finish)))
        rest = BoundGraphs(calls)
        if not past:
            return rest
        return SplitProgram(
            BoundGraphs([(graph, self._bound(self._pasts[graph], tensors)) for graph, tensors in past]), rest
        )

    def close(self) -> None:
        """See `Session.close`."""
        self._sessions = self._pasts = {}
        self._tails, self._between = LabelTails({}), PastBuffers({})

    def _bound(
        self, session: Any, tensors: Mapping[str, Buffer], finish: Callable[[], None] | None = None
    ) -> Callable[[], None]:
        """A run of the session on these buffers, of which it may need a part."""
        binding = session.io_binding()
        for values, bind in (
            (session.get_inputs(), binding.bind_ortvalue_input),
            (session.get_outputs(), binding.bind_ortvalue_output),
        ):
            for name in (value.name for value in values):
                bind(name, self._ort.OrtValue.ortvalue_from_numpy(tensors[name].host))  # shares the memory

        def call() -> None:
            session.run_with_iobinding(binding)
            if finish is not None:
                finish()

        return call


def _scores(graph: str, cut: CutGraph, session: Any) -> TensorSpec:
    """What a cut graph's session says of its scores."""
    (found,) = (output for output in session.get_outputs() if output.name == SCORES)
    return cut.scores(graph, DTYPES.get(found.type, found.type), found.shape)


class OnnxRuntimeBackend(ForkBound):
    """All graphs of a bundle in ONNX Runtime sessions on the CPU.

    Args:
        bundle: verified; read here and not needed afterwards.
        precision: of the graphs.
        threads: of each graph.
    """

    fork_error = BackendError
    name = "onnxruntime"

    def __init__(self, bundle: Bundle, *, precision: str, threads: int) -> None:
        ort = import_without_telemetry("onnxruntime")
        self._ort = ort
        self.precision = precision
        self.description = f"ONNX Runtime {ort.__version__}, CPU, {threads} thread(s), {self.precision}"
        graphs, options = bundle.manifest.graphs, session_options(ort, threads)
        count = len(graphs) + sum(map(attends_among_past_frames, graphs))
        self._scores: dict[str, TensorSpec] = {}
        self._between: dict[str, TensorSpec] = {}
        self._pasts: dict[str, Any] = {}

        def load(graph: GraphSpec, read: Callable[[], bytes]) -> Any:
            cut = cut_labels(graph, read())  # first of all: its own form may have many more nodes
            data, without = own_form(graph, cut.data, precision)
            past, rest = split_past(graph, replace(cut, data=data))
            del cut, data  # not to be held beside the parts while the sessions are made
            if past is not None:
                self._pasts[graph.name] = load_part(*past, without)
                (self._between[graph.name],) = past[0].outputs
            return load_part(*rest, without)

        def load_part(graph: GraphSpec, cut: CutGraph, without: Sequence[str]) -> Any:
            session = load_graph(ort, graph.name, cut.data, options, without=without)
            tensors = (*graph.inputs, *cut.outputs)
            if cut.labels is not None:
                self._scores[graph.name] = _scores(graph.name, cut, session)
                tensors = (*tensors, self._scores[graph.name])
            check_tensors(graph.name, session, tensors)
            return session

        loader = GraphLoader(bundle, precision, load, threads=threads)
        require_threads(
            (threads - 1) * count + loader.helpers,
            engine="ONNX Runtime",
            purpose=f"{threads - 1} beside the caller's for each of {count} graphs, {loader.helpers} to load them",
        )
        self._nbytes = loader.nbytes
        self._sessions: dict[str, Any] = loader.run()

    def session(self) -> Session:
        """See `Backend.session`."""
        self.require_own_process("session()")
        return HostSession(
            self._sessions,
            self._pasts,
            self._ort,
            tails=LabelTails(self._scores),
            between=PastBuffers(self._between),
        )

    def close(self) -> None:
        """See `Backend.close`."""
        if not self.stranded and self._sessions:
            self._sessions = self._pasts = {}
            give_back(self._nbytes)
