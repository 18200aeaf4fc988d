"""Labels, and their confidence, that stay on the GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tdnet_runtime import forks
from tdnet_runtime.errors import StreamError
from tdnet_runtime.gpu.device import Device, DeviceMemory, GpuStream

__all__ = ["DeviceLabels"]

_CUDA = 2  # DLPack's kDLCUDA
_NO_ORDER = -1  # DLPack: the consumer wants no ordering
_LEGACY_DEFAULT = 1  # what DLPack's stream=None means on CUDA


class DeviceLabels:
    """One frame's labels, or their confidence, uint8 [H, W], in the memory of the stream that made them.

    They are valid until the next `push` or `close` of that stream; after that every access raises
    StreamError, and so does any in a forked child. What was taken from it before (a torch tensor, say) is a window on the
    stream's memory and will show the next frame's labels: copy what is to be kept.

    Consumers get at it without a copy. DLPack (`torch.from_dlpack(labels)`, `cupy.from_dlpack(labels)`) orders the
    consumer's stream after the labels are written, and nobody waits. `__cuda_array_interface__`
    (`cupy.asarray(labels)`, `torch.as_tensor(labels, device="cuda")`) waits on the host until they are: not all
    consumers look at the stream that it could name; torch does not. A mere `hasattr` for it waits, too. The
    opposite order is the caller's business: what reads the labels must be done, or be on the stream's own CUDA stream,
    before the next `push`.

    Attributes:
        shape: (H, W), the network's size.
        dtype: uint8.
        frame_index: of the frame.
        name: `labels` or `confidence`.
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self,
        memory: DeviceMemory,
        shape: tuple[int, int],
        *,
        device: Device,
        stream: GpuStream,
        frame_index: int,
        name: str,
        is_current: Callable[[], bool],
        wait: Callable[[], None],
    ) -> None:
        self.shape = shape
        self.frame_index = frame_index
        self.name = name
        self._memory = memory
        self._device = device
        self._stream = stream
        self._is_current = is_current
        self._wait = wait
        self._forks = forks.count()

    @property
    def address(self) -> int:
        """Of the first label, on the GPU. Order your work after the stream's yourself."""
        self._require()
        return self._memory.address

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Version 3; waits until the labels are written, so that consumers have nothing to wait for.

        Raises:
            StreamError: they are no longer there, or the stream has failed since or is in use by another thread.
            BackendError: a frame has failed; `reset()` is needed.
        """
        self._require()
        self._wait()
        return {
            "version": 3,
            "shape": self.shape,
            "typestr": "|u1",
            "data": (self._memory.address, False),  # torch takes no read-only arrays
            "strides": None,
            "stream": None,
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        """The GPU, as DLPack numbers it."""
        return _CUDA, self._device.device_id

    def __dlpack__(self, *, stream: int | None = None, **options: Any) -> object:
        """A capsule; work on `stream` (None: the default stream; −1: none) comes after the labels are written."""
        self._require()
        with self._device.current():
            if stream != _NO_ORDER:
                self._device.order(_LEGACY_DEFAULT if stream is None else stream, after=self._stream)
            return self._device.dlpack(self._memory, self.shape, self, **options)

    def _require(self) -> None:
        what = f"{self.name} of frame {self.frame_index}"
        if self._forks != forks.count():
            raise StreamError(
                f"{what}: only the process which pushed the frame can use the GPU that they are on; this one was forked "
                "from it. Copy them to the host before the fork."
            )
        if not self._is_current():
            raise StreamError(
                f"{what}: no longer there, the stream has gone on since. What stays on the GPU is valid until the next "
                "push(); copy what is to be kept before it."
            )
