"""The GPU through cuda-core. Thin on purpose: what can be logic is elsewhere, and is tested without a GPU.

cuda-core raises on every status that is not success; `_checked` turns that into BackendError with what was
being done. The driver's own functions (cuda.bindings) are used for the current context and for the driver's
version, which cuda-core does not offer; and for CUDA graphs: up to cuda-core 1.2 a GraphBuilder whose capture was
invalidated ends the process when it is closed (NVIDIA/cuda-python#2834), and ours must survive that.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from cuda.bindings import driver
from cuda.core import Buffer, Event, LegacyPinnedMemoryResource, Stream
from cuda.core import Device as CoreDevice
from cuda.core.utils import StridedMemoryView

from tdnet_runtime.errors import BackendError, FrameError, TdnetError
from tdnet_runtime.forks import note_gpu
from tdnet_runtime.gpu.device import CapturedGraph, DeviceMemory, ForeignArray, GpuEvent, GpuStream, Memory

__all__ = ["CudaDevice"]

_THREAD_LOCAL = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL


@contextmanager
def _checked(doing: str) -> Iterator[None]:
    """Any failure of cuda-core or the driver as BackendError."""
    try:
        yield
    except TdnetError:
        raise
    except Exception as error:  # cuda-core's own error class is not public
        raise BackendError(f"{doing}: {error}") from error


def _done(result: tuple[Any, ...]) -> Any:
    """The value of a driver function's (status, value), checked; to be called inside `_checked`."""
    status, *values = result
    if status != driver.CUresult.CUDA_SUCCESS:
        raise RuntimeError(f"the CUDA driver reports {status.name}")
    return values[0] if values else None


class _Block:
    """Device or pinned memory; see `DeviceMemory` and `PinnedMemory`."""

    def __init__(self, buffer: Buffer, name: str) -> None:
        self.buffer = buffer
        self.name = name
        self.address = int(buffer.handle)
        self.nbytes = int(buffer.size)

    @property
    def array(self) -> npt.NDArray[np.uint8]:
        """See `PinnedMemory`."""
        window = (ctypes.c_uint8 * self.nbytes).from_address(self.address)
        return np.ctypeslib.as_array(window)

    def close(self) -> None:
        """See `DeviceMemory`."""
        _close(self.buffer)


class _CudaEvent:
    """See `GpuEvent`."""

    def __init__(self, event: Event) -> None:
        self.event = event

    def sync(self) -> None:
        """See `GpuEvent`."""
        with _checked("waiting for a frame on the GPU"):
            self.event.sync()

    def close(self) -> None:
        """See `GpuEvent`."""
        _close(self.event)


class _CudaGraph:
    """See `CapturedGraph`."""

    def __init__(self, executable: Any) -> None:
        self.executable = executable

    def close(self) -> None:
        """See `CapturedGraph`."""
        executable, self.executable = self.executable, None
        if executable is not None:
            driver.cuGraphExecDestroy(executable)


class _CudaStream:
    """See `GpuStream`."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.handle = int(stream.handle)

    def copy(self, target: Any, source: Memory) -> None:
        """See `GpuStream`."""
        with _checked(f"copying {source.name!r} to {target.name!r} on the GPU"):
            origin = (
                Buffer.from_handle(source.address, target.nbytes, owner=source)
                if isinstance(source, ForeignArray)
                else _block(source).buffer
            )
            origin.copy_to(_block(target).buffer, stream=self.stream)

    def fill(self, memory: DeviceMemory, byte: int) -> None:
        """See `GpuStream`."""
        with _checked(f"filling {memory.name!r} on the GPU"):
            _block(memory).buffer.fill(byte, stream=self.stream)

    def record(self, event: GpuEvent) -> None:
        """See `GpuStream`."""
        assert isinstance(event, _CudaEvent)
        with _checked("recording an event"):
            self.stream.record(event.event)

    def capture(self, work: Callable[[], None]) -> CapturedGraph:
        """See `GpuStream`."""
        with _checked("capturing a CUDA graph"):
            _done(driver.cuStreamBeginCapture(self.stream.handle, _THREAD_LOCAL))
            try:
                work()
            except BaseException:
                status, graph = driver.cuStreamEndCapture(self.stream.handle)
                if status == driver.CUresult.CUDA_SUCCESS:
                    driver.cuGraphDestroy(graph)
                raise
            # This ends the capture in any case. One that was invalidated has no graph left to destroy.
            graph = _done(driver.cuStreamEndCapture(self.stream.handle))
            try:
                return _CudaGraph(_done(driver.cuGraphInstantiate(graph, 0)))
            finally:
                driver.cuGraphDestroy(graph)

    def launch(self, graph: CapturedGraph) -> None:
        """See `GpuStream`."""
        assert isinstance(graph, _CudaGraph)
        with _checked("launching a CUDA graph"):
            _done(driver.cuGraphLaunch(graph.executable, self.stream.handle))

    def sync(self) -> None:
        """See `GpuStream`."""
        with _checked("waiting for the GPU"):
            self.stream.sync()

    def close(self) -> None:
        """See `GpuStream`."""
        _close(self.stream)


class CudaDevice:
    """The calling thread's current GPU, or the first one; see `Device`.

    It is used in its primary context, as torch, CuPy and the CUDA runtime do; PyCUDA does so with
    `pycuda.autoprimaryctx`.

    Raises:
        BackendError: no driver, or no GPU.
    """

    def __init__(self) -> None:
        with _checked("looking for a GPU"):
            _done(driver.cuInit(0))
            note_gpu()
            before = _done(driver.cuCtxGetCurrent())
            try:
                self._device = CoreDevice()
                self._device.set_current()
                self._context = _done(driver.cuCtxGetCurrent())
                major, minor = self._device.compute_capability
                version = _done(driver.cuDriverGetVersion())
                self.device_id = int(self._device.device_id)
                self.name = str(self._device.name)
                self.compute_capability = f"{major}.{minor}"
                self.driver_cuda = (version // 1000, version % 1000 // 10)
                self._pinned = LegacyPinnedMemoryResource()  # the one that all platforms have
            finally:
                driver.cuCtxSetCurrent(before)

    @contextmanager
    def current(self) -> Iterator[None]:
        """See `Device`."""
        with _checked("making the GPU current"):
            before = _done(driver.cuCtxGetCurrent())
            other = int(before) != int(self._context)
            if other:
                _done(driver.cuCtxSetCurrent(self._context))
        try:
            yield
        finally:
            if other:
                driver.cuCtxSetCurrent(before)

    def create_stream(self) -> GpuStream:
        """See `Device`."""
        with _checked("creating a CUDA stream"):
            return _CudaStream(self._device.create_stream())

    def adopt_stream(self, handle: int, owner: object) -> GpuStream:
        """See `Device`."""
        with _checked(f"using the CUDA stream {handle:#x}"):
            stream = self._device.create_stream(_Foreign(handle, owner))
            if stream.device.device_id != self.device_id:
                raise BackendError(
                    f"cuda_stream is on GPU {stream.device.device_id}, the engines are on GPU {self.device_id}"
                )
            return _CudaStream(stream)

    def create_event(self) -> GpuEvent:
        """See `Device`."""
        with _checked("creating a CUDA event"):
            return _CudaEvent(self._device.create_event())

    def allocate(self, nbytes: int, *, name: str, stream: GpuStream) -> DeviceMemory:
        """See `Device`."""
        assert isinstance(stream, _CudaStream)
        with _checked(f"allocating {nbytes} bytes on the GPU for {name!r}"):
            return _Block(self._device.allocate(nbytes, stream=stream.stream), name)

    def allocate_pinned(self, nbytes: int, *, name: str) -> _Block:
        """See `Device`."""
        with _checked(f"allocating {nbytes} bytes of pinned memory for {name!r}"):
            return _Block(self._pinned.allocate(nbytes), name)

    def view(self, array: object, *, name: str, stream: GpuStream) -> ForeignArray:
        """See `Device`."""
        with _checked(f"taking over the {name}"):
            try:
                view = StridedMemoryView.from_any_interface(array, stream_ptr=stream.handle)
                return ForeignArray(
                    name=name,
                    address=view.ptr,
                    shape=tuple(view.shape),
                    strides=None if view.strides is None else tuple(view.strides),
                    dtype=view.dtype,
                    device_id=view.device_id if view.is_device_accessible else -1,
                    owner=view,
                )
            except (
                Exception
            ) as error:  # the array's own: another device, a type, a mask, a gradient, memory that is gone
                if type(error).__module__.startswith("cuda."):  # cuda-core's: the GPU fails
                    raise
                raise FrameError(
                    f"push() was given a {type(array).__name__} that cannot be read where it lies: {error}"
                ) from error

    def dlpack(self, memory: DeviceMemory, shape: tuple[int, ...], owner: object, **options: Any) -> object:
        """See `Device`."""
        with _checked(f"handing out {memory.name!r}"):
            window = Buffer.from_handle(memory.address, memory.nbytes, owner=owner)
            view = StridedMemoryView.from_buffer(window, shape, dtype=np.dtype(np.uint8))
            return view.__dlpack__(stream=-1, **options)

    def order(self, consumer: int, *, after: GpuStream) -> None:
        """See `Device`."""
        assert isinstance(after, _CudaStream)
        with _checked(f"ordering the CUDA stream {consumer:#x} after the labels"):
            Stream.from_handle(consumer).wait(after.stream)


class _Foreign:
    """A caller's stream, with its owner, under cuda-core's protocol."""

    def __init__(self, handle: int, owner: object) -> None:
        self._handle = handle
        self._owner = owner

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self._handle


def _block(memory: object) -> _Block:
    assert isinstance(memory, _Block)
    return memory


def _close(thing: Any) -> None:
    """Errors are those of work that was reported before, or of a GPU that is gone."""
    with contextlib.suppress(Exception):
        thing.close()
