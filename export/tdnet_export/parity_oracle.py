"""What the oracle says of each frame of the proof, under the names of the graphs' tensors."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from tdnet_export.parity_checks import spread
from tdnet_models import Network, ReferenceStream
from tdnet_models.preprocessing import Preprocessing
from tdnet_models.reference import labels_of
from tdnet_models.tdnet import TemporalNetwork
from tdnet_models.variants import KEY_WIDTH

__all__ = ["Expected", "Oracle", "Wanted", "centred"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A tensor of the oracle's, and its standard deviation: asked for once, whatever is compared with it."""

    values: npt.NDArray[np.float32]
    spread: float

    @classmethod
    def of(cls, values: npt.NDArray[np.float32]) -> Wanted:
        """With its standard deviation."""
        return cls(values, spread(values))


@dataclass(frozen=True, slots=True)
class Expected:
    """All that a frame must give: inner tensors by name, logits [K, H, W], labels uint8 [H, W]."""

    tensors: dict[str, Wanted]
    logits: Wanted
    labels: npt.NDArray[np.uint8]


class Oracle:
    """The reference stream, and what it says of each frame.

    Args:
        network: its weights are laid out anew, channels last.
        memory_stride: n.
        preprocessing: of its images.
        threshold: of its labels; see `labels_of`.

    Attributes:
        labels: how many different ones there are.
    """

    def __init__(
        self, network: Network, memory_stride: int, preprocessing: Preprocessing, threshold: float | None
    ) -> None:
        # Channels last: PyTorch's convolutions on a CPU then do not turn each tensor there and back.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # of which its stubs know nothing
        self._stream = ReferenceStream(network, memory_stride=memory_stride, preprocessing=preprocessing)
        self._threshold = threshold
        self._slots: dict[str, Wanted] = {}  # what the memory must hold
        self.labels = network.spec.classes if threshold is None else 2

    def push(self, frame: npt.NDArray[np.uint8]) -> Expected:
        """The next frame; the tensors are valid until the one after it."""
        logits = self._stream.push(frame)
        return self._expected(logits, self._inner())

    def alone(self, expected: Expected) -> Expected:
        """What a frame that was `expected` last must give where it goes without attention: that of a cold one (spec §3)."""
        trace, network = self._stream.trace, self._stream.network
        assert trace is not None  # there are graphs for it
        assert isinstance(network, TemporalNetwork)
        inner = {name: wanted for name, wanted in expected.tensors.items() if name != "recomposed"}
        if trace.cold:
            return replace(expected, tensors=inner)
        with torch.inference_mode():
            return self._expected(network.classify(trace.path, trace.features.value)[0], inner)

    def _expected(self, logits: torch.Tensor, inner: dict[str, Wanted]) -> Expected:
        logits = logits.contiguous()
        labels: npt.NDArray[np.uint8] = labels_of(logits, self._threshold).numpy()
        return Expected(inner, Wanted.of(logits.numpy()), labels)

    def _inner(self) -> dict[str, Wanted]:
        """Q, V, the memory and V'; none of a network without memory."""
        trace = self._stream.trace
        if trace is None:
            return {}
        root = KEY_WIDTH**0.5  # the graphs' queries carry the attention's 1/√d_k
        entry = trace.features.entry
        for leaf, tensor in (("q", entry.q / root), ("k", entry.k), ("v", entry.v)):
            self._slots[f"slot{trace.path}_{leaf}"] = _wanted(tensor)
        inner = {"query": _wanted(trace.features.query / root), "value": _wanted(trace.features.value)}
        inner |= {name: self._slots[name] for name in sorted(self._slots)}
        return inner | {"recomposed": Wanted.of(centred(trace.recomposed.contiguous().numpy()))}


def _wanted(tensor: torch.Tensor) -> Wanted:
    return Wanted.of(tensor.contiguous().numpy())


def centred(maps: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Maps [1, V, h, w] without each channel's mean; see `parity`."""
    with np.errstate(invalid="ignore", over="ignore"):  # told by the error
        means = maps.mean((2, 3), keepdims=True, dtype=np.float64)
        centred: npt.NDArray[np.float32] = maps - means.astype(np.float32)
    return centred
