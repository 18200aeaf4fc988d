"""The GPU as the measurements see it: streams, events, memory. Through PyTorch, which GPU hosts have."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tdnet_runtime.errors import BackendError

__all__ = ["Event", "Gpu", "TorchGpu"]


class Event(Protocol):
    """A point in a stream's work that has a time."""

    def record(self, stream: Any) -> None:
        """Stand for the end of the stream's work so far."""

    def elapsed_time(self, end: Any) -> float:
        """Milliseconds from this event to `end`, both of which have happened."""


class Gpu(Protocol):
    """See the module."""

    def facts(self) -> dict[str, Any]:
        """Name, compute capability, memory and versions, for people."""

    def stream(self) -> Any:
        """A stream that is not the default one, which cannot be captured; has `__cuda_stream__`."""

    def handle(self, stream: Any) -> int:
        """Of a stream, as an integer."""

    def on(self, stream: Any) -> AbstractContextManager[Any]:
        """Work inside the block goes to `stream`."""

    def event(self) -> Event:
        """With timing."""

    def upload(self, frame: npt.NDArray[np.uint8]) -> Any:
        """The frame in the GPU's memory, complete, with DLPack or `__cuda_array_interface__`."""

    def free_bytes(self) -> int:
        """What the driver has left, for all processes."""

    def synchronize(self) -> None:
        """Wait for all work of all streams."""


class TorchGpu:
    """See `Gpu`; the first GPU that is visible.

    Args:
        torch: the module.

    Raises:
        BackendError: it has no CUDA, or sees no GPU.
    """

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._cuda = torch.cuda
        if torch.version.cuda is None:
            raise BackendError(f"this PyTorch {torch.__version__} has no CUDA; install one that has")
        try:
            self._cuda.init()
        except (RuntimeError, AssertionError) as error:
            raise BackendError(
                f"PyTorch {torch.__version__} finds no GPU ({error}); see nvidia-smi"
            ) from error
        self.device = torch.device("cuda", 0)

    def facts(self) -> dict[str, Any]:
        """See `Gpu`."""
        properties = self._cuda.get_device_properties(0)
        free, total = self._cuda.mem_get_info()
        return {
            "name": properties.name,
            "compute_capability": f"{properties.major}.{properties.minor}",
            "multiprocessors": properties.multi_processor_count,
            "memory_bytes": total,
            "free_bytes": free,
            "torch": str(self._torch.__version__),  # a class of its own
            "cuda": self._torch.version.cuda,
            "cudnn": self._torch.backends.cudnn.version(),
        }

    def stream(self) -> Any:
        """See `Gpu`."""
        return self._cuda.Stream()

    def handle(self, stream: Any) -> int:
        """See `Gpu`."""
        return int(stream.cuda_stream)

    def on(self, stream: Any) -> AbstractContextManager[Any]:
        """See `Gpu`."""
        context: AbstractContextManager[Any] = self._cuda.stream(stream)
        return context

    def event(self) -> Event:
        """See `Gpu`."""
        event: Event = self._cuda.Event(enable_timing=True)
        return event

    def upload(self, frame: npt.NDArray[np.uint8]) -> Any:
        """See `Gpu`."""
        tensor = self._torch.tensor(frame, device=self.device)  # copies, so that `frame` may be read-only
        self.synchronize()
        return tensor

    def free_bytes(self) -> int:
        """See `Gpu`."""
        return int(self._cuda.mem_get_info()[0])

    def synchronize(self) -> None:
        """See `Gpu`."""
        self._cuda.synchronize()
