"""Tensors on the GPU, and the pinned memory through which the host sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tdnet_runtime.gpu.device import Device, DeviceMemory, ForeignArray, GpuEvent, GpuStream, PinnedMemory
from tdnet_runtime.manifest import TensorSpec

__all__ = ["DeviceBuffer", "Flight", "ImageBuffer"]


class DeviceBuffer:
    """A tensor in device memory; see `Buffer`. All its work is on one stream.

    Args:
        spec: of the tensor.
        memory: as large as the tensor.
        staging: pinned memory of that size, where the host reads results or loads values often; None
            otherwise: `load` and `dump` then take some for the time of the call.
        device: that `memory` is on.
        stream: of all work on it.
    """

    def __init__(
        self,
        spec: TensorSpec,
        memory: DeviceMemory,
        staging: PinnedMemory | None,
        *,
        device: Device,
        stream: GpuStream,
    ) -> None:
        self.spec = spec
        self.memory = memory
        self._staging = staging
        self._device = device
        self._stream = stream

    @property
    def host(self) -> npt.NDArray[Any] | None:
        """What `fetch` copied last; None for a tensor without pinned memory."""
        return None if self._staging is None else self._array(self._staging)

    def fetch(self) -> None:
        """Put the copy from the device into `host` on the stream."""
        assert self._staging is not None  # allocated as host-visible
        self._stream.copy(self._staging, self.memory)

    def load(self, values: npt.NDArray[Any]) -> None:
        """See `Buffer.load`."""
        with self._device.current():
            staging = self._staging or self._pinned()
            try:
                np.copyto(self._array(staging), values)
                self._stream.copy(self.memory, staging)
                self._stream.sync()
            finally:
                self._release(staging)

    def dump(self) -> npt.NDArray[Any]:
        """See `Buffer.dump`."""
        with self._device.current():
            staging = self._pinned()
            try:
                self._stream.copy(staging, self.memory)
                self._stream.sync()
                return np.array(self._array(staging))
            finally:
                self._release(staging)

    def zero(self) -> None:
        """See `Buffer.zero`."""
        with self._device.current():
            self._stream.fill(self.memory, 0)
            self._stream.sync()

    def _pinned(self) -> PinnedMemory:
        return self._device.allocate_pinned(self.spec.nbytes, name=self.spec.name)

    def _release(self, staging: PinnedMemory) -> None:
        if staging is not self._staging:
            staging.close()

    def _array(self, staging: PinnedMemory) -> npt.NDArray[Any]:
        return staging.array.view(self.spec.dtype).reshape(self.spec.shape)


@dataclass(slots=True, eq=False)
class Flight:
    """What one frame needs until the GPU is done with it.

    Attributes:
        staging: pinned memory of the image.
        done: after the frame's last work; None where the host waits for each frame anyway.
        frame: the caller's array on the device, kept alive.
    """

    staging: PinnedMemory
    done: GpuEvent | None
    frame: ForeignArray | None = None


class ImageBuffer(DeviceBuffer):
    """The network's input: from the host by way of pinned memory, or from an array on the device.

    Flights are used in turn, so that no image is overwritten before it was copied, and at most as many
    frames as there are flights are on their way.
    """

    def __init__(
        self,
        spec: TensorSpec,
        memory: DeviceMemory,
        flights: list[Flight],
        *,
        device: Device,
        stream: GpuStream,
    ) -> None:
        super().__init__(spec, memory, None, device=device, stream=stream)
        self._flights = flights
        self._turn = 0
        self._written = False

    @property
    def host(self) -> npt.NDArray[Any]:
        """Where the next frame is to be written; waits until the GPU has done with what it held.

        Raises:
            BackendError: an earlier frame has failed.
        """
        flight = self._landed()
        self._written = True
        return self._array(flight.staging)

    def feed(self, frame: ForeignArray) -> None:
        """Put the copy from the caller's array on the stream, instead of `host`."""
        flight = self._landed()
        self._written = False
        flight.frame = frame
        with self._device.current():
            self._stream.copy(self.memory, frame)

    def flush(self) -> None:
        """Put the copy of what was written into `host` on the stream; nothing if it was not."""
        if self._written:
            self._written = False
            self._stream.copy(self.memory, self._flights[self._turn].staging)

    def finish(self) -> None:
        """The frame's work is on the stream: the next frame has the next flight."""
        flight = self._flights[self._turn]
        if flight.done is None:
            flight.frame = None  # the host has waited
        else:
            self._stream.record(flight.done)
            self._turn = (self._turn + 1) % len(self._flights)

    def forget(self) -> None:
        """The stream is idle: let go of the callers' arrays."""
        self._written = False
        for flight in self._flights:
            flight.frame = None

    def _landed(self) -> Flight:
        flight = self._flights[self._turn]
        if flight.done is not None:
            with self._device.current():
                flight.done.sync()
        flight.frame = None
        return flight
