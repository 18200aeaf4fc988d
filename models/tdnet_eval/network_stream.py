"""The PyTorch network as a stream that takes frames of any size, as the runtime's does; needs torch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tdnet_models.preprocessing import IMAGENET, Preprocessing
from tdnet_models.reference import ReferenceStream, labels_of
from tdnet_models.tdnet import Network
from tdnet_runtime.closeable import Closeable
from tdnet_runtime.memory import is_cold, path_index
from tdnet_runtime.preprocess import Resizer, check_frame

__all__ = ["NetworkLabels", "NetworkStream"]

Array = npt.NDArray[np.uint8]


class NetworkLabels(NamedTuple):
    """See `tdnet_eval.evaluation.Segmented`; the labels are the caller's own."""

    labels: Array
    path: int
    cold: bool


class NetworkStream(Closeable):
    """`ReferenceStream` with the runtime's resizing around it; a context manager that holds nothing.

    Args:
        network: in evaluation mode, on any device; many streams may share it.
        memory_stride: see `ReferenceStream`.
        preprocessing: see `ReferenceStream`.
        threshold: see `labels_of`.
    """

    def __init__(
        self,
        network: Network,
        *,
        memory_stride: int | None = None,
        preprocessing: Preprocessing = IMAGENET,
        threshold: float | None = None,
    ) -> None:
        self._stream = ReferenceStream(network, memory_stride=memory_stride, preprocessing=preprocessing)
        self._threshold = threshold
        self._paths = network.spec.variant.paths
        self._resizer = Resizer(network.spec.input_size)
        self._image = np.empty((*network.spec.input_size, 3), dtype=np.uint8)

    def reset(self) -> None:
        """See `ReferenceStream`."""
        self._stream.reset()

    def push(self, frame: Array, /) -> NetworkLabels:
        """Segment the next frame, uint8 RGB [H, W, 3], C-contiguous, of any size; only read.

        Raises:
            FrameError: another type or shape.
        """
        size_hw = check_frame(frame)
        self._resizer.require(size_hw)
        self._resizer.put(frame, self._image)
        index = self._stream.frame_index
        logits = self._stream.push(self._image)
        labels = np.empty(size_hw, dtype=np.uint8)
        self._resizer.take(labels_of(logits, self._threshold).cpu().numpy(), labels)
        return NetworkLabels(labels, path_index(index, self._paths), is_cold(index, self._paths - 1))

    def close(self) -> None:
        """Nothing is held but the network's, which others may share."""
