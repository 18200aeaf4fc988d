"""ONNX Runtime on a device with memory of its own: bound buffers, and its own CUDA graphs.

Every tensor lies in the device's memory and is bound once. Images are copied in and results out by the host,
which waits: a run is complete when it returns. Each stream's graphs have numbers of their own
(`gpu_graph_id`), because ONNX Runtime keeps a captured CUDA graph for each number, session and thread: in
another thread than the one that opened the stream it would capture anew, in mid-stream and untested, so there
the stream runs without.

The device is named by a `Provider`: tests name the CPU, which runs all of this but the capturing itself.
"""

from __future__ import annotations

import importlib.util
import itertools
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tdnet_runtime.backends.base import NO_GRAPHS_WANTED, Binding, Buffer, Program, Session
from tdnet_runtime.backends.graph_precision import unsound_optimizers
from tdnet_runtime.backends.no_telemetry import import_without_telemetry
from tdnet_runtime.backends.ort_provider import GATE, LoadedGraph, Provider, checked, load_graph
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.errors import BackendError
from tdnet_runtime.forks import ForkBound
from tdnet_runtime.manifest import IMAGE, TensorSpec
from tdnet_runtime.poison import PROBE, poison_of

__all__ = ["OrtBoundBackend", "OrtBoundSession"]

logger = logging.getLogger(__name__)

_NO_CAPTURE = "-1"  # as gpu_graph_id
_OTHER_THREAD = (
    "ONNX Runtime's graphs belong to the thread that opened the stream; open it in the thread that pushes"
)


class OrtBuffer:
    """A tensor in the device's memory; see `Buffer`."""

    def __init__(self, spec: TensorSpec, value: Any, *, host_visible: bool) -> None:
        self.spec = spec
        self.value = value
        self._array: npt.NDArray[Any] | None = (
            np.zeros(spec.shape, dtype=spec.dtype) if host_visible else None
        )
        self.zero()

    @property
    def host(self) -> npt.NDArray[Any] | None:
        """See `Buffer`."""
        return self._array

    def upload(self) -> None:
        """Copy `host` to the device."""
        self.load(self._array)

    def fetch(self) -> None:
        """Copy the device's tensor to `host`."""
        assert self._array is not None  # allocated host-visible
        with checked(f"copying {self.spec.name!r} from the device"):
            np.copyto(self._array, self.value.numpy())

    def load(self, values: npt.NDArray[Any] | None) -> None:
        """See `Buffer.load`."""
        with checked(f"copying {self.spec.name!r} to the device"):
            self.value.update_inplace(np.ascontiguousarray(values))

    def dump(self) -> npt.NDArray[Any]:
        """See `Buffer.dump`."""
        with checked(f"copying {self.spec.name!r} from the device"):
            return np.array(self.value.numpy())  # which is a window where the device is the CPU

    def zero(self) -> None:
        """See `Buffer.zero`."""
        self.fill(0)

    def fill(self, byte: int) -> None:
        """Set all bytes."""
        self.load(np.full(self.spec.nbytes, byte, np.uint8).view(self.spec.dtype).reshape(self.spec.shape))


@dataclass(frozen=True, slots=True, eq=False)
class BoundGraph:
    """A graph bound to one stream's buffers; its run options with and without a captured graph."""

    graph: LoadedGraph
    binding: Any
    captured: Any
    plain: Any

    def run(self, *, captured: bool) -> None:
        """Run it, and wait."""
        # The lock is the inner one: who holds it must not wait for a capture, which may want it.
        with checked(f"ONNX Runtime failed in graph {self.graph.name!r}"), self.graph.lock:
            self.graph.session.run_with_iobinding(self.binding, self.captured if captured else self.plain)


class OrtBoundProgram:
    """A path's graphs; see `Program`."""

    def __init__(
        self, session: OrtBoundSession, bound: Sequence[BoundGraph], buffers: Mapping[str, OrtBuffer]
    ) -> None:
        outputs = {name for graph in bound for name in graph.graph.outputs}
        self._session = session
        self._thread = threading.current_thread()
        self._bound = tuple(bound)
        self._image = buffers[IMAGE]
        self.inputs = [buffer for name, buffer in buffers.items() if name not in outputs]
        self.outputs = {name: buffer for name, buffer in buffers.items() if name in outputs}
        self._results = [buffer for buffer in self.outputs.values() if buffer.host is not None]
        self.obstacle = next((g.graph.obstacle for g in bound if g.graph.obstacle is not None), None)

    def run(self) -> None:
        """See `Program.run`."""
        self._image.upload()
        captured = self.obstacle is None and threading.current_thread() is self._thread
        self.put(captured=captured)
        self._session.captured = captured
        if not captured:
            self._session.tell(self.obstacle or _OTHER_THREAD)
        for buffer in self._results:
            buffer.fetch()

    def put(self, *, captured: bool) -> None:
        """Run the graphs in order."""
        for graph in self._bound:
            graph.run(captured=captured)

    def test(self) -> None:
        """Capture, and compare a replay on poisoned outputs with a plain run.

        Raises:
            BackendError: the graphs do not run even without capturing.
        """
        plain = self._tried(captured=False)
        if self.obstacle is None:
            try:
                with GATE.capturing():
                    self.put(captured=True)  # ONNX Runtime captures in here
                replayed = self._tried(captured=True)
                wrong = [name for name, values in plain.items() if (replayed[name] != values).any()]
                if wrong:
                    self.obstacle = f"captured graphs gave other results than plain runs: {', '.join(wrong)}"
            except BackendError as error:
                self.obstacle = str(error)
                self._tried(captured=False)

    def _tried(self, *, captured: bool) -> dict[str, npt.NDArray[np.uint8]]:
        for buffer in self.inputs:
            buffer.fill(PROBE)
        for name, buffer in self.outputs.items():
            buffer.fill(poison_of(name))
        self.put(captured=captured)
        return {name: buffer.dump().reshape(-1).view(np.uint8) for name, buffer in self.outputs.items()}


class OrtBoundSession:
    """One stream's buffers and bindings; see `Session` and `Capturing`."""

    def __init__(self, backend: OrtBoundBackend) -> None:
        self._backend = backend
        self._told = False
        self._held: list[Any] = []  # what is on the device
        self.captured = False

    def allocate(self, spec: TensorSpec, *, host_visible: bool = False) -> Buffer:
        """See `Session.allocate`."""
        with checked(f"allocating {spec.nbytes} bytes on the device for {spec.name!r}"):
            value = self._backend.ort.OrtValue.ortvalue_from_shape_and_type(
                spec.shape, np.dtype(spec.dtype).type, self._backend.provider.device, 0
            )
        self._held.append(value)
        return OrtBuffer(spec, value, host_visible=host_visible)

    def prepare(self, bindings: Sequence[Binding]) -> Program:
        """See `Session.prepare`; graphs are captured and tested."""
        bound: list[BoundGraph] = []
        buffers: dict[str, OrtBuffer] = {}
        for name, tensors in bindings:
            graph = self._backend.graphs[name]
            with checked(f"binding the tensors of graph {name!r}"):
                binding = graph.session.io_binding()
                self._held.append(binding)
                for tensor, buffer in tensors.items():
                    assert isinstance(buffer, OrtBuffer)  # all of this session's are
                    bind = (
                        binding.bind_ortvalue_output
                        if tensor in graph.outputs
                        else binding.bind_ortvalue_input
                    )
                    bind(tensor, buffer.value)
                    buffers[tensor] = buffer
            number = next(self._backend.graph_numbers)
            bound.append(
                BoundGraph(
                    graph,
                    binding,
                    self._backend.run_options(str(number)),
                    self._backend.run_options(_NO_CAPTURE),
                )
            )
        program = OrtBoundProgram(self, bound, buffers)
        if not self._backend.use_graphs:
            program.obstacle = NO_GRAPHS_WANTED
        program.test()
        if program.obstacle is not None:
            self.tell(program.obstacle)
        return program

    def tell(self, obstacle: str) -> None:
        """Log, once for each stream, why it runs without CUDA graphs, unless nobody wants them."""
        if not self._told and obstacle != NO_GRAPHS_WANTED:
            self._told = True
            logger.warning(
                "running without CUDA graphs, which costs time and changes no result: %s", obstacle
            )

    def close(self) -> None:
        """See `Session.close`; the device's memory goes here, where the buffers are gone already."""
        with GATE.using():
            self._held.clear()


class OrtBoundBackend(ForkBound):
    """All graphs of a bundle in ONNX Runtime sessions on one provider; see `Backend`.

    Args:
        bundle: verified; read here and not needed afterwards.
        provider: what they run on.
        name: of the backend.
        precision: of the graphs.

    Attributes:
        use_graphs: streams that are opened from now on use CUDA graphs where those work; True at first.

    Raises:
        BackendError: ONNX Runtime refuses a graph, or does not run it on that provider.
        BundleError: the file was changed since it was opened.
    """

    fork_error = BackendError

    def __init__(self, bundle: Bundle, provider: Provider, *, name: str, precision: str) -> None:
        ort = import_without_telemetry("onnxruntime")
        # CUDA's own wheels lie where the system's loader does not look.
        if importlib.util.find_spec("nvidia") is not None and hasattr(ort, "preload_dlls"):
            ort.preload_dlls(directory="")
        self.ort: Any = ort
        self.provider = provider
        self.name = name
        self.precision = precision
        self.use_graphs = True
        self.description = f"ONNX Runtime {ort.__version__}, {provider.name}, {precision}"
        self.graph_numbers = itertools.count(1)  # 0 is reserved
        self.graphs: dict[str, LoadedGraph] = {}
        without = unsound_optimizers(precision)
        try:
            for graph in bundle.manifest.at(precision).graphs:
                data = bundle.read(graph.members[precision])
                self.graphs[graph.name] = load_graph(ort, provider, graph, data, without=without)
        except BaseException:
            self.close()
            raise

    def session(self) -> Session:
        """See `Backend.session`."""
        self.require_own_process("session()")
        return OrtBoundSession(self)

    def close(self) -> None:
        """See `Backend.close`."""
        if not self.stranded:
            with GATE.using():
                self.graphs = {}

    def run_options(self, graph_number: str) -> Any:
        """For a run with that number's captured graph, or without one."""
        options = self.ort.RunOptions()
        if self.provider.graphs:
            options.add_run_config_entry("gpu_graph_id", graph_number)
        return options
