"""The GPU under sides that have one: events that tell the time, frames in its memory, and how much of it is free.

Through the driver and what the runtime itself needs of a GPU, so that robots without PyTorch can be measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from tdnet_bench.sides.side import Array
from tdnet_runtime.backends.trt_bundle import no_device, open_device
from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import BackendError
from tdnet_runtime.gpu.device import Device, DeviceMemory, GpuStream, PinnedMemory

__all__ = ["DeviceFrame", "Gpu", "Shuttle", "Stopwatch"]


class Gpu:
    """See the module; the device is as the runtime opens it, the driver the module `cuda.bindings.driver`."""

    def __init__(self, device: Device, driver: Any) -> None:
        self.device = device
        self._driver = driver

    @classmethod
    def open(cls) -> Gpu:
        """The first one that is visible; raises BackendError where there is none, or nothing that reaches it."""
        obstacle = no_device()
        if obstacle is not None:
            raise BackendError(obstacle)
        from cuda.bindings import driver  # an extra

        return cls(open_device(), driver)

    @contextmanager
    def stream(self) -> Iterator[GpuStream]:
        """A CUDA stream, closed with the context."""
        with self.device.current():
            stream = self.device.create_stream()
        try:
            yield stream
        finally:
            with self.device.current():
                stream.close()

    def stream_of_torch(self, torch: Any) -> int:
        """Handle of the CUDA stream on which PyTorch puts this thread's work."""
        return int(torch.cuda.current_stream().cuda_stream)

    def free_bytes(self) -> int:
        """What the driver has left, for all processes, when all work is done."""
        with self.device.current():
            self.driver("cuCtxSynchronize")
            return int(self.driver("cuMemGetInfo")[0])

    def driver(self, name: str, *arguments: Any) -> Any:
        """Call a function of the driver; its value, or values.

        Raises:
            BackendError: it reports a failure, maybe of earlier work.
        """
        status, *values = getattr(self._driver, name)(*arguments)
        if int(status) != 0:
            raise BackendError(f"{name}: the CUDA driver reports {getattr(status, 'name', status)}")
        return values[0] if len(values) == 1 else values


class Stopwatch(Closeable):
    """Two events on a CUDA stream, before and after some work."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        with gpu.device.current():
            self._events = [gpu.driver("cuEventCreate", 0) for _ in range(2)]

    @contextmanager
    def timing(self, stream: int) -> Iterator[None]:
        """Between the two events is what the block puts on the stream with that handle."""
        self._record(0, stream)
        yield
        self._record(1, stream)

    def ns(self) -> int:
        """From the first event to the second one, which is waited for."""
        with self._gpu.device.current():
            self._gpu.driver("cuEventSynchronize", self._events[1])
            return round(float(self._gpu.driver("cuEventElapsedTime", *self._events)) * 1e6)

    def _record(self, index: int, stream: int) -> None:
        with self._gpu.device.current():
            self._gpu.driver("cuEventRecord", self._events[index], stream)

    def close(self) -> None:
        """Let the events go."""
        with self._gpu.device.current():
            while self._events:
                self._gpu.driver("cuEventDestroy", self._events.pop())


@dataclass(frozen=True, slots=True, eq=False)
class DeviceFrame:
    """A frame in the GPU's memory, complete: uint8 RGB [H, W, 3]."""

    memory: DeviceMemory
    shape: tuple[int, ...]

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Version 3; there is nothing to wait for."""
        return {
            "version": 3,
            "shape": self.shape,
            "typestr": "|u1",
            "data": (self.memory.address, False),
            "strides": None,
            "stream": None,
        }


class Shuttle(Closeable):
    """Carries frames to the GPU and labels back, one at a time, on a CUDA stream."""

    def __init__(self, gpu: Gpu, stream: GpuStream) -> None:
        self._device, self._stream = gpu.device, stream
        self._pinned: dict[int, PinnedMemory] = {}
        self._memory: DeviceMemory | None = None

    def upload(self, image: Array) -> DeviceFrame:
        """The image on the GPU, in memory that the next one gets, too."""
        with self._device.current():
            if self._memory is None or self._memory.nbytes != image.nbytes:
                if self._memory is not None:
                    self._memory.close()
                self._memory = self._device.allocate(image.nbytes, name="frame", stream=self._stream)
            pinned = self._pinned_of(image.nbytes)
            pinned.array[:] = image.reshape(-1)
            self._stream.copy(self._memory, pinned)
            self._stream.sync()
            return DeviceFrame(self._memory, image.shape)

    def download(self, labels: Any) -> Array:
        """Labels that offer `__cuda_array_interface__`, uint8 [H, W], as an array of their own."""
        with self._device.current():
            view = self._device.view(labels, name="labels", stream=self._stream)
            pinned = self._pinned_of(int(np.prod(view.shape)))
            self._stream.copy(pinned, view)
            self._stream.sync()
            return np.array(pinned.array).reshape(view.shape)

    def close(self) -> None:
        """Free the memory."""
        with self._device.current():
            for memory in (self._memory, *self._pinned.values()):
                if memory is not None:
                    memory.close()

    def _pinned_of(self, nbytes: int) -> PinnedMemory:
        if nbytes not in self._pinned:
            self._pinned[nbytes] = self._device.allocate_pinned(nbytes, name="frame or labels")
        return self._pinned[nbytes]
