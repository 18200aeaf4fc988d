"""The networks: one class for all that remember frames, one for the per-frame baseline.

No state lives here. A temporal network is three pure steps (encode, recompose, classify); whoever
runs it keeps the memory: see `reference.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import nn

from tdnet_models.attention import Encoding, Propagation
from tdnet_models.blocks import SpatialNorm, resize
from tdnet_models.fanet import LEVELS, FanetHead, build_neck, fanet_features
from tdnet_models.provenance import Provenance
from tdnet_models.psp import PspHead, PyramidPooling
from tdnet_models.resnet import ResNet
from tdnet_models.variants import NetworkSpec

__all__ = ["Features", "MemoryEntry", "Network", "PerFrameNetwork", "TemporalNetwork", "build_network"]


@dataclass(frozen=True, slots=True)
class MemoryEntry:
    """What a frame leaves behind: q [1, D, h', w'], k [1, D, h', w'], v [1, V, h', w'], subsampled."""

    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor


@dataclass(frozen=True, slots=True)
class Features:
    """A frame's encoding: query [1, D, h, w], value [1, V, h, w], and its entry for the memory."""

    query: torch.Tensor
    value: torch.Tensor
    entry: MemoryEntry


def hop_name(paths: int, path: int, read: int) -> str:
    """State-dict name of the attention with which `path` reads the memory of path `read`."""
    return f"atn{path}" if paths == 2 else f"atn{path}_{read}"


def read_order(paths: int, path: int) -> tuple[int, ...]:
    """Paths of the last m−1 frames before one of `path`, the oldest first."""
    return tuple((path - 1 + j) % paths + 1 for j in range(1, paths))


class TemporalNetwork(nn.Module):
    """A network that remembers frames (td2-psp50, td4-psp18, td2-fa18, ...), with the public code's parameter names.

    Attributes:
        spec: its shapes.
        resampled_from: (h, w) of the checkpoint's LayerNorm maps where they were resampled: approximate; else None.
        provenance: what of a checkpoint its weights are; None where they come from none.
    """

    resampled_from: tuple[int, int] | None = None

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        self.provenance: Provenance | None = None
        variant = spec.variant
        for path in range(1, variant.paths + 1):
            self.add_module(variant.prefix(path), ResNet(spec))
            if variant.family == "psp":
                pooling = PyramidPooling(spec.trunk_channels[3], group=variant.groups[path - 1])
                self.add_module(f"psp{path}", pooling)
                self.add_module(f"head{path}", PspHead(spec.value, spec.head, spec.classes))
            else:
                for level, module in build_neck(spec).items():
                    self.add_module(f"ffm_{level}_{path}", module)
                self.add_module(f"head{path}", FanetHead(spec.value, spec.head, spec.classes))
                if spec.auxiliary:
                    self.add_module(f"head_aux{path}", FanetHead(spec.neck, spec.auxiliary, spec.classes))
            self.add_module(f"enc{path}", Encoding(spec.feature_channels, spec.value))
            for read in read_order(variant.paths, path):
                self.add_module(hop_name(variant.paths, path, read), Propagation(spec.value))
            self.add_module(f"layer_norm{path}", SpatialNorm(spec.feature_size))

    @property
    def resampled(self) -> bool:
        """True where the network is an approximation; see `resampled_from`."""
        return self.resampled_from is not None

    def features(self, path: int, image: torch.Tensor) -> torch.Tensor:
        """Normalised image [1, 3, H, W] → features x [1, C, h, w] of sub-network `path`."""
        maps = self.get_submodule(self.spec.variant.prefix(path))(image)
        if self.spec.variant.family == "psp":
            return self.get_submodule(f"psp{path}")(maps[3])  # type: ignore[no-any-return]
        neck = {level: self.get_submodule(f"ffm_{level}_{path}") for level in LEVELS}
        return fanet_features(maps, neck)  # type: ignore[arg-type]  # they are FastAttention

    def encode(self, path: int, image: torch.Tensor, memory_stride: int) -> Features:
        """Normalised image [1, 3, H, W] → the frame's query, value and memory entry."""
        x = self.features(path, image)
        sampled = x[:, :, ::memory_stride, ::memory_stride]
        encoding = self.get_submodule(f"enc{path}")
        entry = MemoryEntry(
            q=encoding.get_submodule("w_qs")(sampled),
            k=encoding.get_submodule("w_ks")(sampled),
            v=encoding.get_submodule("w_vs")(sampled),
        )
        return Features(
            query=encoding.get_submodule("w_qs")(x), value=encoding.get_submodule("w_vs")(x), entry=entry
        )

    def recompose(self, path: int, features: Features, memory: list[MemoryEntry]) -> torch.Tensor:
        """Propagate the memory (m−1 entries, the oldest first) into V: → V' [1, V, h, w]; spec §1."""
        paths = self.spec.variant.paths
        carried = memory[0].v
        for hop, read in enumerate(read_order(paths, path)):
            attention = self.get_submodule(hop_name(paths, path, read))
            newest = hop == paths - 2
            query = features.query if newest else memory[hop + 1].q
            onto = features.value if newest else memory[hop + 1].v
            carried = attention(query, memory[hop].k, carried) + onto
        return carried

    def classify(self, path: int, value: torch.Tensor) -> torch.Tensor:
        """V or V' [1, V, h, w] → logits [1, K, H, W]."""
        x = self.get_submodule(f"layer_norm{path}")(value)
        return resize(self.get_submodule(f"head{path}")(x), self.spec.input_size)


class PerFrameNetwork(nn.Module):
    """psp101, the baseline and the teacher, and its smaller siblings. It has no LayerNorm maps: any size is exact."""

    resampled_from: tuple[int, int] | None = None
    resampled = False

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        self.provenance: Provenance | None = None
        self.pretrained = ResNet(spec)
        pooling = PyramidPooling(spec.trunk_channels[3], group=None)
        self.head = PspHead(spec.feature_channels, spec.head, spec.classes, pooling=pooling)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Normalised image [1, 3, H, W] → logits [1, K, H, W]."""
        return resize(self.head(self.pretrained(image)[3]), self.spec.input_size)


Network: TypeAlias = TemporalNetwork | PerFrameNetwork


def build_network(spec: NetworkSpec) -> Network:
    """The network for `spec` with PyTorch's initial weights."""
    return TemporalNetwork(spec) if spec.variant.temporal else PerFrameNetwork(spec)
