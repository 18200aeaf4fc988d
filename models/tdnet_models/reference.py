"""The streaming oracle: TDNet's rules (spec §3) in plain PyTorch.

It shares nothing with the runtime, so that agreement of the two proves something.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from tdnet_models.preprocessing import IMAGENET, Preprocessing
from tdnet_models.tdnet import Features, MemoryEntry, Network, PerFrameNetwork
from tdnet_runtime.errors import FrameError

__all__ = ["FrameTrace", "ReferenceStream", "labels_of", "shares_of"]


def labels_of(logits: torch.Tensor, threshold: float | None = None) -> torch.Tensor:
    """The class of each pixel.

    Args:
        logits: [K, H, W].
        threshold: for K = 1 (a sigmoid head), the probability above which a pixel is class 1, foreground; None for
            the largest logit's class.

    Returns:
        uint8 [H, W], a new tensor on the logits' device.
    """
    if threshold is None:
        # max() instead of argmax(): 65 against 142 ms at 19×769×1537 on 2 threads, torch 2.13
        return logits.max(0).indices.to(torch.uint8)
    return (torch.sigmoid(logits[0]) > threshold).to(torch.uint8)


def shares_of(logits: torch.Tensor, labels: torch.Tensor, threshold: float | None = None) -> torch.Tensor:
    """The probability that the network gives to each pixel's label; not calibrated.

    Args:
        logits: [K, H, W].
        labels: uint8 [H, W], the logits' own or others.
        threshold: for K = 1 (a sigmoid head) as in `labels_of`; only whether there is one matters.

    Returns:
        [H, W], 0 to 1, a new tensor of the logits' dtype: shares of the softmax, or of the sigmoid and what is left of 1.
    """
    if threshold is None:
        return logits.softmax(0).gather(0, labels.long()[None])[0]
    foreground = torch.sigmoid(logits[0])
    return torch.where(labels.bool(), foreground, 1 - foreground)


@dataclass(frozen=True, slots=True)
class FrameTrace:
    """What the last frame computed on its way, for comparison tensor by tensor.

    Attributes:
        path: 1 to m.
        cold: True where no attention was applied.
        features: the frame's encoding.
        recomposed: V' [1, V, h, w] (V on cold frames).
    """

    path: int
    cold: bool
    features: Features
    recomposed: torch.Tensor


class ReferenceStream:
    """One video through one network. The state lives here; many streams may share a network.

    Args:
        network: as `load_checkpoint` returns it.
        memory_stride: n; the variant's deployment default if None.
        preprocessing: what the network was trained on; nothing in a checkpoint tells.

    Attributes:
        frame_index: frames pushed since the start or the last reset.
        trace: of the last frame; None before the first one and for psp101.
    """

    def __init__(
        self,
        network: Network,
        *,
        memory_stride: int | None = None,
        preprocessing: Preprocessing = IMAGENET,
    ) -> None:
        self.network = network
        self.memory_stride = network.spec.variant.memory_stride if memory_stride is None else memory_stride
        if self.memory_stride < 1:
            raise ValueError(f"memory_stride is {self.memory_stride}, expected 1 or more")
        parameter = next(network.parameters())
        self._device, self._dtype = parameter.device, parameter.dtype
        self._preprocessing = preprocessing
        constants = (preprocessing.mean, preprocessing.std)
        self._mean, self._std = (
            torch.tensor(values, device=self._device, dtype=self._dtype).view(1, 3, 1, 1)
            for values in constants
        )
        self._memory: deque[MemoryEntry] = deque(maxlen=max(network.spec.variant.paths - 1, 1))
        self.frame_index = 0
        self.trace: FrameTrace | None = None

    def reset(self) -> None:
        """Forget all frames: the next one is the first."""
        self._memory.clear()
        self.frame_index = 0
        self.trace = None

    @torch.inference_mode()
    def push(self, frame_rgb_u8_hwc: npt.NDArray[np.uint8] | torch.Tensor) -> torch.Tensor:
        """Segment the next frame.

        Args:
            frame_rgb_u8_hwc: uint8 [H, W, 3], RGB, of the network's input size; only read. A NumPy array or a tensor.

        Returns:
            Logits [K, H, W], a new tensor of the network's dtype (float32 as loaded).

        Raises:
            FrameError: another shape or dtype.
        """
        image = self._normalised(frame_rgb_u8_hwc)
        logits = self._classified(image)
        self.frame_index += 1
        return logits[0]

    def _classified(self, image: torch.Tensor) -> torch.Tensor:
        network = self.network
        if isinstance(network, PerFrameNetwork):
            return network(image)  # type: ignore[no-any-return]
        paths = network.spec.variant.paths
        path = self.frame_index % paths + 1
        features = network.encode(path, image, self.memory_stride)
        cold = len(self._memory) < paths - 1
        recomposed = features.value if cold else network.recompose(path, features, list(self._memory))
        self._memory.append(features.entry)  # the oldest of m−1 drops out
        self.trace = FrameTrace(path, cold, features, recomposed)
        return network.classify(path, recomposed)

    def _normalised(self, frame: npt.NDArray[np.uint8] | torch.Tensor) -> torch.Tensor:
        height, width = self.network.spec.input_size
        is_array = isinstance(frame, (np.ndarray, torch.Tensor))
        if not is_array or frame.shape != (height, width, 3) or frame.dtype not in (np.uint8, torch.uint8):
            came = f"frame of {frame.dtype} {list(frame.shape)}" if is_array else type(frame).__name__
            raise FrameError(
                f"the reference was given a {came}; expected uint8 [{height}, {width}, 3], RGB. "
                "Resize it (bilinear) first."
            )
        if isinstance(frame, np.ndarray):  # whose strides may be negative, as of BGR turned by [..., ::-1]
            frame = torch.tensor(np.ascontiguousarray(frame), device=self._device)
        channels = frame.flip(2) if self._preprocessing.color_order == "BGR" else frame
        image = channels.to(self._device).permute(2, 0, 1).unsqueeze(0)
        return (image.to(self._dtype) * self._preprocessing.scale - self._mean) / self._std
