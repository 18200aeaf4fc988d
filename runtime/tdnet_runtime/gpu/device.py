"""What the runtime needs of a GPU, and no more.

Work that is put on a stream is done later, in order; other streams are not ordered with it unless an
event says so. A failure may therefore surface in a later call. Every method of these protocols raises
BackendError, with what was being done, when the driver reports a failure: of this call, or of earlier
work. Only `close` never raises.

The calling thread must be inside `Device.current()` for every call.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

__all__ = [
    "CapturedGraph",
    "Device",
    "DeviceMemory",
    "ForeignArray",
    "GpuEvent",
    "GpuStream",
    "Memory",
    "PinnedMemory",
]


class DeviceMemory(Protocol):
    """A block of the GPU's memory, aligned to 256 bytes; what it holds at first is undefined.

    Attributes:
        name: what it is for, as errors say it.
        address: that never changes.
        nbytes: its size.
    """

    name: str
    address: int
    nbytes: int

    def close(self) -> None:
        """Free it, in the order of the stream that it was allocated for. Safe to call twice."""


class PinnedMemory(Protocol):
    """A block of page-locked host memory, which a GPU copies from and to by itself.

    Attributes:
        name: what it is for, as errors say it.
        nbytes: its size.
    """

    name: str
    nbytes: int

    @property
    def array(self) -> npt.NDArray[np.uint8]:
        """All of it, uint8 [nbytes]. Not to be touched while a copy that uses it is on its way."""

    def close(self) -> None:
        """Free it. Safe to call twice."""


@dataclass(frozen=True, slots=True, eq=False)
class ForeignArray:
    """Somebody else's array, alive for as long as this object is.

    Attributes:
        name: what it is for, as errors say it.
        address: of its first element.
        shape: of the array.
        strides: in elements; None where it is C-contiguous.
        dtype: of the elements; None where NumPy has no such type.
        device_id: ordinal of its GPU; −1 where no GPU can access it.
        owner: what keeps it alive.
    """

    name: str
    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None
    dtype: np.dtype[Any] | None
    device_id: int
    owner: object


Memory = DeviceMemory | PinnedMemory | ForeignArray


class GpuEvent(Protocol):
    """A point in a stream's work."""

    def sync(self) -> None:
        """Wait until the work before the last `record` is done; at once where it was never recorded."""

    def close(self) -> None:
        """Release it. Safe to call twice."""


class CapturedGraph(Protocol):
    """A CUDA graph, ready to be launched."""

    def close(self) -> None:
        """Release it. Safe to call twice."""


class GpuStream(Protocol):
    """A queue of work.

    Attributes:
        handle: the `CUstream`, as an integer.
    """

    handle: int

    def copy(self, target: DeviceMemory | PinnedMemory, source: Memory) -> None:
        """Copy all of `source`, which is as large as `target`."""

    def fill(self, memory: DeviceMemory, byte: int) -> None:
        """Set all bytes."""

    def record(self, event: GpuEvent) -> None:
        """Let `event` stand for the end of the work so far."""

    def capture(self, work: Callable[[], None]) -> CapturedGraph:
        """Call `work` and make a graph of what it puts on this stream, which is not done now. Any stream may launch it.

        The stream is one of `create_stream`: while one that waits for the default stream is captured, nobody may use
        that. Other threads may go on using the GPU (thread-local mode). When this raises, the stream is no longer
        capturing.
        """

    def launch(self, graph: CapturedGraph) -> None:
        """Put a captured graph on the stream, whichever it was captured on."""

    def sync(self) -> None:
        """Wait until all work so far is done."""

    def close(self) -> None:
        """Release it; a stream of the caller's is only let go. Safe to call twice."""


class Device(Protocol):
    """One GPU.

    Attributes:
        device_id: its ordinal.
        name: as the driver says it.
        compute_capability: `8.7`.
        driver_cuda: the CUDA version that the driver supports.
    """

    device_id: int
    name: str
    compute_capability: str
    driver_cuda: tuple[int, int]

    def current(self) -> AbstractContextManager[None]:
        """Make this the calling thread's device inside the block, and what it was again afterwards."""

    def create_stream(self) -> GpuStream:
        """A stream that does not wait for the default stream."""

    def adopt_stream(self, handle: int, owner: object) -> GpuStream:
        """The caller's own stream; `owner` is kept alive."""

    def create_event(self) -> GpuEvent:
        """An event without timing."""

    def allocate(self, nbytes: int, *, name: str, stream: GpuStream) -> DeviceMemory:
        """Memory to be used on `stream`."""

    def allocate_pinned(self, nbytes: int, *, name: str) -> PinnedMemory:
        """Page-locked memory."""

    def view(self, array: object, *, name: str, stream: GpuStream) -> ForeignArray:
        """An array that offers DLPack or `__cuda_array_interface__`, ready for work on `stream`.

        The producer's work is ordered before, where the array says on which stream that is.

        Raises:
            FrameError: it offers neither in a way that can be used.
        """

    def dlpack(self, memory: DeviceMemory, shape: tuple[int, ...], owner: object, **options: Any) -> object:
        """A DLPack capsule of `memory` as uint8 [*shape]; `owner` lives as long as the capsule's user does."""

    def order(self, consumer: int, *, after: GpuStream) -> None:
        """Let the stream with the handle `consumer` wait for the work on `after` so far."""
