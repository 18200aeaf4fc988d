"""One stream's share of a GPU: a CUDA stream, buffers, scratch memory, and its work for each path."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from tdnet_runtime.backends.base import NO_GRAPHS_WANTED, Binding, MemoryUse
from tdnet_runtime.errors import BackendError
from tdnet_runtime.forks import ForkBound
from tdnet_runtime.gpu.buffers import DeviceBuffer, Flight, ImageBuffer
from tdnet_runtime.gpu.device import Device, DeviceMemory, ForeignArray, PinnedMemory
from tdnet_runtime.gpu.engine import Engine
from tdnet_runtime.gpu.foreign_stream import stream_handle
from tdnet_runtime.gpu.frames import check_device_frame, reject_host_frame
from tdnet_runtime.gpu.labels import DeviceLabels
from tdnet_runtime.gpu.program import BoundGraph, PathWork, bind, first_run, obstacle_to_capture, self_test
from tdnet_runtime.manifest import IMAGE, LABELS, WARM, TensorSpec

__all__ = ["GpuProgram", "GpuSession"]

logger = logging.getLogger(__name__)

_FLIGHTS = 2
"""Frames that may be on their way at once where nobody waits for their labels."""


class _Closable(Protocol):
    def close(self) -> None: ...


_Owned = TypeVar("_Owned", bound=_Closable)


class GpuProgram:
    """A path's work as the stream sees it; see `Program`."""

    def __init__(self, session: GpuSession, work: PathWork, results: Sequence[DeviceBuffer]) -> None:
        self._session = session
        self.work = work
        self.results = tuple(results)

    def run(self) -> None:
        """See `Program.run`. Where the labels stay on the device, nothing is waited for."""
        self._session.run(self)


class GpuSession(ForkBound):
    """See `DeviceSession`. All work is on one CUDA stream, so graphs never overlap and share scratch memory.

    Everything is allocated, run once, captured and tested while the stream opens; a frame allocates nothing.

    Args:
        device: the GPU.
        engines: by graph name; they outlive the session.
        labels_to_host: copy the results to the host and wait for them in every run.
        cuda_stream: the caller's stream, see `stream_handle`; None for one of its own.
        use_graphs: False: nothing is captured.

    Attributes:
        captured: the last run was the replay of a CUDA graph.

    Raises:
        OptionError: `cuda_stream` is not a stream.
        BackendError: the GPU has no room, or fails.
    """

    def __init__(
        self,
        device: Device,
        engines: Mapping[str, Engine],
        *,
        labels_to_host: bool = True,
        cuda_stream: object = None,
        use_graphs: bool = True,
    ) -> None:
        handle = None if cuda_stream is None else stream_handle(cuda_stream)
        self._device = device
        self._engines = dict(engines)
        self._labels_to_host = labels_to_host
        self._use_graphs = use_graphs
        self._owned: list[_Closable] = []
        self._buffers: dict[str, DeviceBuffer] = {}
        self._runs = 0
        self._told = False
        self._device_bytes = self._pinned_bytes = self._activation_bytes = 0
        self.captured = False
        try:
            with device.current():
                self._stream = self._own(
                    device.create_stream() if handle is None else device.adopt_stream(handle, cuda_stream)
                )
                # A graph is not bound to the stream it was captured on, and the caller's may wait for the default one.
                self._capturing = self._stream if handle is None else self._own(device.create_stream())
                self._activation = self._scratch()
        except BaseException:
            self.close()
            raise

    # Session

    def allocate(self, spec: TensorSpec, *, host_visible: bool = False) -> DeviceBuffer:
        """See `Session.allocate`."""
        with self._device.current():
            memory = self._device_memory(spec.nbytes, spec.name)
            common: dict[str, Any] = {"device": self._device, "stream": self._stream}
            if spec.name == IMAGE:
                buffer: DeviceBuffer = ImageBuffer(spec, memory, self._flights(spec), **common)
            else:
                seen = host_visible and (self._labels_to_host or spec.name == WARM)
                staging = self._pinned(spec) if seen else None
                buffer = DeviceBuffer(spec, memory, staging, **common)
            self._buffers[spec.name] = buffer
            self._stream.fill(memory, 0)
            return buffer

    def prepare(self, bindings: Sequence[Binding]) -> GpuProgram:
        """See `Session.prepare`; the work is captured as a CUDA graph where that works."""
        with self._device.current():
            program = self._program(bindings)
            work = program.work
            plain = first_run(work, self._stream)
            try:
                work.obstacle = (
                    obstacle_to_capture(work, self._capturing) if self._use_graphs else NO_GRAPHS_WANTED
                )
                if work.obstacle is None:
                    graph = self._capturing.capture(lambda: work.enqueue(self._capturing))
                    work.graph = self._own(graph)
                    self_test(work, self._stream, plain)
            except BackendError as error:
                work.graph, work.obstacle = None, str(error)
                first_run(work, self._stream)  # it must work without the graph, or the stream does not open
            self._tell(work)
            return program

    def close(self) -> None:
        """See `Session.close`. Failures of work that nobody waited for are logged."""
        if self.stranded:
            return
        owned, self._owned = self._owned, []
        with contextlib.ExitStack() as inside:
            if owned:
                try:
                    inside.enter_context(self._device.current())
                    self._stream.sync()
                except BackendError as error:
                    logger.warning("closing a stream: %s", error)
            for thing in reversed(owned):
                thing.close()
        self._runs += 1  # labels on the device are gone
        self._buffers = {}

    # A frame

    def run(self, program: GpuProgram) -> None:
        """Put a frame's work on the stream, and wait for its results where the host gets them."""
        image = self._image()
        with self._device.current():
            self._runs += 1
            image.flush()
            program.work.put(self._stream)
            self.captured = program.work.graph is not None
            if self._labels_to_host:
                for buffer in program.results:
                    buffer.fetch()
                self._stream.sync()
            image.finish()

    # DeviceSession

    @property
    def memory_use(self) -> MemoryUse:
        """What the session holds."""
        return MemoryUse(
            device_bytes=self._device_bytes,
            scratch_bytes=self._activation_bytes,
            pinned_bytes=self._pinned_bytes,
        )

    def admit(self, frame: object) -> ForeignArray:
        """See `DeviceSession.admit`."""
        reject_host_frame(frame)
        _, height, width, _ = self._image().spec.shape
        with self._device.current():
            view = self._device.view(frame, name="frame", stream=self._stream)
        check_device_frame(view, (height, width), self._device.device_id)
        return view

    def feed(self, frame: ForeignArray) -> None:
        """See `DeviceSession.feed`."""
        self._image().feed(frame)

    def device_labels(
        self, frame_index: int, tensor: str = LABELS, *, wait: Callable[[], None]
    ) -> DeviceLabels:
        """See `DeviceSession.device_labels`."""
        labels, run = self._buffers[tensor], self._runs
        _, height, width = labels.spec.shape
        return DeviceLabels(
            labels.memory,
            (height, width),
            device=self._device,
            stream=self._stream,
            frame_index=frame_index,
            name=tensor,
            is_current=lambda: self._runs == run,
            wait=wait,
        )

    def settle(self) -> None:
        """See `DeviceSession.settle`."""
        with self._device.current():
            self._stream.sync()
        self._image().forget()

    # Details

    def _image(self) -> ImageBuffer:
        image = self._buffers[IMAGE]
        assert isinstance(image, ImageBuffer)  # see `allocate`
        return image

    def _program(self, bindings: Sequence[Binding]) -> GpuProgram:
        """Contexts with all addresses set."""
        bound: list[BoundGraph] = []
        buffers: dict[str, DeviceBuffer] = {}
        outputs: dict[str, DeviceBuffer] = {}
        for graph, tensors in bindings:
            engine = self._engines[graph]
            mine = {name: _on_device(buffer) for name, buffer in tensors.items()}
            context = self._own(engine.create_context())
            context.set_activation_memory(self._activation.address, self._activation.nbytes)
            bound.append(bind(graph, engine, context, mine))
            buffers |= {buffer.spec.name: buffer for buffer in mine.values()}
            outputs |= {
                mine[tensor.name].spec.name: mine[tensor.name]
                for tensor in engine.tensors
                if not tensor.is_input
            }
        inputs = {name: buffer for name, buffer in buffers.items() if name not in outputs}
        results = [buffer for buffer in outputs.values() if buffer.host is not None]
        return GpuProgram(self, PathWork(bound, inputs=inputs, outputs=outputs), results)

    def _scratch(self) -> DeviceMemory:
        """One block for all graphs: the largest one's need, not the sum."""
        self._activation_bytes = max(1, *(engine.activation_bytes for engine in self._engines.values()))
        return self._device_memory(self._activation_bytes, "activations")

    def _flights(self, spec: TensorSpec) -> list[Flight]:
        if self._labels_to_host:
            return [Flight(self._pinned(spec), None)]
        return [Flight(self._pinned(spec), self._own(self._device.create_event())) for _ in range(_FLIGHTS)]

    def _device_memory(self, nbytes: int, name: str) -> DeviceMemory:
        memory = self._own(self._device.allocate(nbytes, name=name, stream=self._stream))
        self._device_bytes += nbytes
        return memory

    def _pinned(self, spec: TensorSpec) -> PinnedMemory:
        memory = self._own(self._device.allocate_pinned(spec.nbytes, name=spec.name))
        self._pinned_bytes += spec.nbytes
        return memory

    def _own(self, thing: _Owned) -> _Owned:
        self._owned.append(thing)
        return thing

    def _tell(self, work: PathWork) -> None:
        if work.obstacle not in (None, NO_GRAPHS_WANTED) and not self._told:
            self._told = True
            logger.warning(
                "running without CUDA graphs, which costs time and changes no result: %s", work.obstacle
            )


def _on_device(buffer: object) -> DeviceBuffer:
    assert isinstance(buffer, DeviceBuffer)  # all of this session's are
    return buffer
