"""Encoding of features into query, key and value, and one hop of attention propagation (spec §1, §2)."""

from __future__ import annotations

import torch
from torch import nn

from tdnet_models.blocks import ConvNorm, leaky_relu
from tdnet_models.variants import KEY_WIDTH

__all__ = ["Encoding", "Propagation"]


def _key_layers(channels: int) -> nn.Sequential:
    return nn.Sequential(
        ConvNorm(channels, KEY_WIDTH, activation=leaky_relu()), ConvNorm(KEY_WIDTH, KEY_WIDTH, norm=False)
    )


class Encoding(nn.Module):
    """1×1 convolutions from features to queries `w_qs`, keys `w_ks` and values `w_vs`."""

    def __init__(self, channels: int, value: int) -> None:
        super().__init__()
        self.w_qs = _key_layers(channels)
        self.w_ks = _key_layers(channels)
        self.w_vs = nn.Sequential(ConvNorm(channels, value, norm=False))


class Propagation(nn.Module):
    """φ(softmax(q·kᵀ/√d_k)·v): values aligned from one frame to the next."""

    def __init__(self, value: int) -> None:
        super().__init__()
        self.fc = nn.Sequential(ConvNorm(value, value, norm=False))

    def forward(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """Query [1, D, h, w], key [1, D, h', w'], value [1, V, h', w'] → [1, V, h, w]."""
        h, w = query.shape[2:]
        scores = torch.bmm(query.flatten(2).transpose(1, 2) / KEY_WIDTH**0.5, key.flatten(2))  # [1, hw, P]
        weights = torch.softmax(scores, dim=2)
        mixed = torch.bmm(value.flatten(2), weights.transpose(1, 2))  # [1, V, hw]
        return self.fc(mixed.view(1, -1, h, w))  # type: ignore[no-any-return]
