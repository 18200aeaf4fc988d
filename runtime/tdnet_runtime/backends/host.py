"""Buffers in the process's own memory, for backends that compute there."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tdnet_runtime.manifest import TensorSpec

__all__ = ["HostBuffer"]


class HostBuffer:
    """A NumPy array; see `Buffer`."""

    def __init__(self, spec: TensorSpec) -> None:
        self.spec = spec
        self.array: npt.NDArray[Any] = np.zeros(spec.shape, dtype=spec.dtype)
        self.host: npt.NDArray[Any] | None = self.array

    def load(self, values: npt.NDArray[Any]) -> None:
        """See `Buffer.load`."""
        np.copyto(self.array, values)

    def dump(self) -> npt.NDArray[Any]:
        """See `Buffer.dump`."""
        return np.array(self.array)

    def zero(self) -> None:
        """See `Buffer.zero`."""
        self.array.fill(0)
