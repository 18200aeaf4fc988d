"""The public network in PyTorch on a GPU: a uint8 frame in its memory to uint8 labels in its memory."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from tdnet_bench.machine.private_caches import use_private_caches

if TYPE_CHECKING:
    from tdnet_models import Network
    from tdnet_models.preprocessing import Preprocessing
    from tdnet_models.tdnet import MemoryEntry

__all__ = ["TorchStream", "compiled", "prepared"]

_TEMPORAL_PARTS = ("encode", "recompose", "classify")


def prepared(network: Network, *, device: Any, half: bool) -> Network:
    """The network on `device`: FP32 and contiguous, or FP16 and channels-last. It is changed."""
    import torch  # only in the parts that run PyTorch

    network = network.to(device)
    if half:
        network = network.half().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def compiled(network: Network) -> Network:
    """The network with its steps compiled by torch.compile with its defaults. It is changed."""
    use_private_caches()
    import torch  # only in the parts that run PyTorch

    for part in _TEMPORAL_PARTS if hasattr(network, "encode") else ("forward",):
        setattr(network, part, torch.compile(getattr(network, part)))
    return network


class TorchStream:
    """TDNet's streaming rules on one device, as in `ReferenceStream`, but for where frames and labels are.

    Args:
        network: on its device.
        memory_stride: n of the bundle.
        preprocessing: of the bundle.
        threshold: of the bundle; None for an argmax.
    """

    def __init__(
        self,
        network: Network,
        *,
        memory_stride: int,
        preprocessing: Preprocessing,
        threshold: float | None,
    ) -> None:
        import torch  # only in the parts that run PyTorch

        from tdnet_models.reference import labels_of  # needs torch

        self._torch, self._labels_of, self._threshold = torch, labels_of, threshold
        self._scale, self._flipped = preprocessing.scale, preprocessing.color_order == "BGR"
        self._network: Any = network
        self._paths = network.spec.variant.paths
        self._stride = memory_stride
        parameter = next(network.parameters())
        self._dtype = parameter.dtype
        constants = torch.tensor(
            (preprocessing.mean, preprocessing.std), device=parameter.device, dtype=parameter.dtype
        )
        self._mean, self._std = constants.view(2, 1, 3, 1, 1).unbind()
        self._memory: deque[MemoryEntry] = deque(maxlen=max(self._paths - 1, 1))
        self._index = 0

    def push(self, frame: Any) -> tuple[Any, int]:
        """Segment the next frame.

        Args:
            frame: uint8 [H, W, 3] on the network's device.

        Returns:
            Labels, uint8 [H, W], on that device, and the path. Nothing is waited for.
        """
        with self._torch.inference_mode():
            channels = frame.flip(2) if self._flipped else frame
            image = channels.permute(2, 0, 1).unsqueeze(0).to(self._dtype) * self._scale
            path = self._index % self._paths + 1
            logits = self._logits(path, (image - self._mean) / self._std)
            self._index += 1
            return self._labels_of(logits[0], self._threshold), path

    def _logits(self, path: int, image: Any) -> Any:
        network = self._network
        if not hasattr(network, "encode"):
            return network(image)
        features = network.encode(path, image, self._stride)
        cold = len(self._memory) < self._paths - 1
        value = features.value if cold else network.recompose(path, features, list(self._memory))
        self._memory.append(features.entry)
        return network.classify(path, value)
