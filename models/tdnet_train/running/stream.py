"""The network in training as a stream: what validation sees, by the rules of deployment (spec §3)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from tdnet_models.blocks import resize
from tdnet_models.preprocessing import Preprocessing
from tdnet_models.reference import labels_of
from tdnet_models.tdnet import PerFrameNetwork
from tdnet_runtime.closeable import Closeable
from tdnet_runtime.preprocess import Resizer, check_frame
from tdnet_train.networks.clip_network import ClipNetwork, Remembered

__all__ = ["Pushed", "TrainingStream"]


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a frame gave.

    Attributes:
        labels: uint8 [H, W], at the frame's own size; the caller's.
        path: 1 to m.
        cold: no attention was applied.
    """

    labels: npt.NDArray[np.uint8]
    path: int
    cold: bool


class TrainingStream(Closeable):
    """One video through a network in evaluation mode.

    With `propagation = "chain"` it computes what the oracle `tdnet_models.ReferenceStream` does.

    Args:
        network: in evaluation mode; its `memory_stride` is the stream's.
        preprocessing: what the network is trained on.
    """

    def __init__(self, network: ClipNetwork, preprocessing: Preprocessing) -> None:
        self._network = network
        parameter = next(network.parameters())
        self._device = parameter.device
        self._preprocessing = preprocessing
        self._mean, self._std = (
            torch.tensor(values, device=self._device).view(1, 3, 1, 1)
            for values in (preprocessing.mean, preprocessing.std)
        )
        self._memory: deque[Remembered] = deque(maxlen=max(network.paths - 1, 1))
        self._index = 0
        size_hw = network.network.spec.input_size
        self._resizer = Resizer(size_hw)
        self._image = np.empty((*size_hw, 3), dtype=np.uint8)

    def reset(self) -> None:
        """Forget all frames."""
        self._memory.clear()
        self._index = 0

    def close(self) -> None:
        """Nothing is held but the network."""

    @torch.inference_mode()
    def push(self, frame: npt.NDArray[np.uint8], /) -> Pushed:
        """Segment the next frame: uint8 [H, W, 3], RGB, of any size.

        Raises:
            FrameError: another type or shape.
        """
        network, paths = self._network, self._network.paths
        size_hw = check_frame(frame)
        self._resizer.require(size_hw)
        self._resizer.put(frame, self._image)
        image = self._normalised(self._image)
        path, cold = self._index % paths + 1, False
        if isinstance(network.network, PerFrameNetwork):
            logits = network(image[:, None], 1).recomposed
        else:
            _, x = network.features(path, image)
            cold = len(self._memory) < paths - 1
            memory = [] if cold or network.propagation == "none" else list(self._memory)
            logits, _ = network.classify(path, x, memory)
            self._memory.append(network.remember(path, x))
        self._index += 1
        made = labels_of(resize(logits, network.network.spec.input_size)[0])
        labels = np.empty(size_hw, dtype=np.uint8)
        self._resizer.take(made.cpu().numpy(), labels)
        return Pushed(labels, path, cold)

    def _normalised(self, frame: npt.NDArray[np.uint8]) -> torch.Tensor:
        if self._preprocessing.color_order == "BGR":
            frame = frame[..., ::-1]
        image = torch.from_numpy(np.ascontiguousarray(frame)).to(self._device).permute(2, 0, 1)[None].float()
        return (image * self._preprocessing.scale - self._mean) / self._std
