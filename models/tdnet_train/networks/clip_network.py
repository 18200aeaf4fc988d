"""A network on clips: the newest frame's classes, with all that gradients go through (spec §1).

As in the public training code (Training/ptsemseg/models/td*/td*.py, `forward_path*`): every frame of a clip runs its own
sub-network, the newest at full resolution, and nothing is detached: gradients of the newest frame's loss reach the
sub-networks of the frames before it through their keys, values and queries. All of them are in training mode, so that all
move their BatchNorm statistics. φ is applied to the memory's values instead of the attention's result (spec §5).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from tdnet_models.fanet import LEVELS, fanet_features
from tdnet_models.tdnet import Network, PerFrameNetwork, TemporalNetwork, hop_name, read_order
from tdnet_models.variants import KEY_WIDTH
from tdnet_train.networks.auxiliary_head import AuxiliaryHead
from tdnet_train.networks.trunk import trunk_maps

__all__ = ["PROPAGATIONS", "ClipLogits", "ClipNetwork", "Remembered", "propagated"]

PROPAGATIONS = ("chain", "one-step", "none")
"""Ways to use the memory: frame by frame (TDNet's), each frame read directly and summed, not at all."""


@dataclass(frozen=True, slots=True)
class ClipLogits:
    """Of a clip's newest frame, at the features' size.

    Attributes:
        recomposed: [N, K, h, w], of V'; of a per-frame network its only output.
        own: [N, K, h, w], of V alone; None for a per-frame network.
        auxiliary: [N, K, h, w], of layer3; None where there is no auxiliary head.
    """

    recomposed: torch.Tensor
    own: torch.Tensor | None
    auxiliary: torch.Tensor | None


def _read(
    hop: nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, dropout: float
) -> torch.Tensor:
    """One hop for a batch: query [N, D, h, w], key [N, D, h', w'], value [N, V, h', w'] → [N, V, h, w].

    With dropout on the attention's weights and on the result, as in the public code. φ's bias is scaled with what is left
    of a row's weights, since φ comes first here; the LayerNorm removes most of it.
    """
    h, w = query.shape[2:]
    value = hop.get_submodule("fc")(value)
    q, k, v = (x.flatten(2).transpose(1, 2).unsqueeze(1) for x in (query, key, value))
    mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, scale=KEY_WIDTH**-0.5)
    mixed = mixed.squeeze(1).transpose(1, 2).reshape(query.shape[0], -1, h, w)
    return F.dropout(mixed, dropout) if dropout else mixed


@dataclass(frozen=True, slots=True)
class Remembered:
    """A past frame: q (None of the oldest), k and v, subsampled."""

    query: torch.Tensor | None
    key: torch.Tensor
    value: torch.Tensor


def propagated(
    network: TemporalNetwork,
    path: int,
    query: torch.Tensor,
    value: torch.Tensor,
    memory: list[Remembered],
    *,
    propagation: str = "chain",
    dropout: float = 0.0,
) -> torch.Tensor:
    """V' [N, V, h, w] of a frame of `path` from its query, its value and what the last m−1 frames left, oldest first.

    Args:
        network: whose attention modules are used.
        path: of the newest frame, 1 to m.
        query: [N, D, h, w].
        value: V, [N, V, h, w].
        memory: [N, ·, h', w'] each.
        propagation: one of `PROPAGATIONS`. `chain` is what is deployed; the others are for comparison.
        dropout: share of the attention's weights, and of its results, that is dropped.
    """
    if propagation == "none":
        return value
    paths = network.spec.variant.paths
    hops = [network.get_submodule(hop_name(paths, path, read)) for read in read_order(paths, path)]
    if propagation == "one-step":
        for hop, entry in zip(hops, memory, strict=True):
            value = value + _read(hop, query, entry.key, entry.value, dropout)
        return value
    carried = memory[0].value
    for hop, entry, newer in zip(hops[:-1], memory[:-1], memory[1:], strict=True):
        assert newer.query is not None  # of the oldest only
        carried = _read(hop, newer.query, entry.key, carried, dropout) + newer.value
    return _read(hops[-1], query, memory[-1].key, carried, dropout) + value


class ClipNetwork(nn.Module):
    """A network with what training adds to it. Its own parameters keep their names under `network`.

    Args:
        network: to be trained.
        auxiliary: whether the PSP family's layer3 feeds an auxiliary head (`auxlayer{p}`, as public checkpoints call it).
        memory_stride: n in training; 3 in the public code, whatever is deployed.
        propagation: one of `PROPAGATIONS`.
        dropout: of the attention, in training mode; 0.1 in the public code.
    """

    def __init__(
        self,
        network: Network,
        *,
        auxiliary: bool = True,
        memory_stride: int = 3,
        propagation: str = "chain",
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.network = network
        self.memory_stride = memory_stride
        self.propagation = propagation
        self.dropout = dropout
        spec = network.spec
        heads = {}
        if auxiliary and spec.variant.family == "psp":
            channels = spec.trunk_channels[2]
            names = (
                [f"auxlayer{path}" for path in range(1, self.paths + 1)]
                if spec.variant.temporal
                else ["auxlayer"]
            )
            heads = {name: AuxiliaryHead(channels, spec.classes) for name in names}
        self.heads = nn.ModuleDict(heads)

    @property
    def paths(self) -> int:
        """m: frames of a clip, and sub-networks."""
        return self.network.spec.variant.paths

    def weights(self) -> dict[str, torch.Tensor]:
        """The network's state dict and the auxiliary heads' as public training checkpoints name them: `model_state`."""
        return {**self.network.state_dict(), **self.heads.state_dict()}

    def load_weights(self, state: dict[str, torch.Tensor]) -> None:
        """Take what `weights` gave; strict."""
        names = set(self.heads)
        own = {key: value for key, value in state.items() if key.partition(".")[0] not in names}
        self.network.load_state_dict(own, strict=True)
        self.heads.load_state_dict({key: state[key] for key in state.keys() - own.keys()}, strict=True)

    def forward(self, frames: torch.Tensor, path: int) -> ClipLogits:
        """Normalised frames [N, m, 3, H, W], oldest first, the newest of them run by `path` (1 to m) → its logits."""
        if isinstance(self.network, PerFrameNetwork):
            maps = trunk_maps(self.network.pretrained, frames[:, -1])
            return ClipLogits(self.network.head(maps[3]), None, self._auxiliary("auxlayer", maps))
        memory = []
        if self.propagation != "none":
            for index, other in enumerate(read_order(self.paths, path)):
                _, x = self.features(other, frames[:, index])
                memory.append(self.remember(other, x, with_query=index > 0))
        maps, x = self.features(path, frames[:, -1])
        recomposed, own = self.classify(path, x, memory)
        return ClipLogits(recomposed, own, self._auxiliary(f"auxlayer{path}", maps))

    def features(self, path: int, image: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Normalised image [N, 3, H, W] → outputs of layer1 to layer4, and the features x [N, C, h, w]."""
        variant = self.network.spec.variant
        maps = trunk_maps(self.network.get_submodule(variant.prefix(path)), image)
        if variant.family == "psp":
            return maps, self.network.get_submodule(f"psp{path}")(maps[3])
        neck = {level: self.network.get_submodule(f"ffm_{level}_{path}") for level in LEVELS}
        return maps, fanet_features(maps, neck)  # type: ignore[arg-type]  # they are FastAttention

    def remember(self, path: int, x: torch.Tensor, *, with_query: bool = True) -> Remembered:
        """Features x [N, C, h, w] of a frame of `path` → what it leaves to later ones; the oldest needs no query.

        In training the keys' BatchNorm sees all positions for m = 2 and the subsampled ones for m = 4, as in the public
        code's `Encoding`, which subsamples after it and before it.
        """
        n = self.memory_stride
        sampled = x[:, :, ::n, ::n]
        encoding = self.network.get_submodule(f"enc{path}")
        if self.training and self.paths == 2:
            key = encoding.get_submodule("w_ks.1")(encoding.get_submodule("w_ks.0")(x)[:, :, ::n, ::n])
        else:
            key = encoding.get_submodule("w_ks")(sampled)
        needed = with_query and self.propagation == "chain"
        query = encoding.get_submodule("w_qs")(sampled) if needed else None
        return Remembered(query, key, encoding.get_submodule("w_vs")(sampled))

    def classify(
        self, path: int, x: torch.Tensor, memory: list[Remembered]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Features x [N, C, h, w] → logits [N, K, h, w] of V' and of V; the same without memory."""
        value = self.network.get_submodule(f"enc{path}.w_vs")(x)
        own = self._head(path, value)
        return (self._head(path, self.recompose(path, x, value, memory)) if memory else own), own

    def recompose(
        self, path: int, x: torch.Tensor, value: torch.Tensor, memory: list[Remembered]
    ) -> torch.Tensor:
        """Features x [N, C, h, w], their value V [N, V, h, w] and the memory → V'."""
        assert isinstance(self.network, TemporalNetwork)
        return propagated(
            self.network,
            path,
            self.network.get_submodule(f"enc{path}.w_qs")(x),
            value,
            memory,
            propagation=self.propagation,
            dropout=self.dropout if self.training else 0.0,
        )

    def _head(self, path: int, value: torch.Tensor) -> torch.Tensor:
        normed = self.network.get_submodule(f"layer_norm{path}")(value)
        return self.network.get_submodule(f"head{path}")(normed)  # type: ignore[no-any-return]

    def _auxiliary(self, name: str, maps: list[torch.Tensor]) -> torch.Tensor | None:
        if name not in self.heads or not self.training:
            return None
        return self.heads[name](maps[2])  # type: ignore[no-any-return]
