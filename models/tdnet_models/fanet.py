"""FANet's neck and head (spec §2, td2-fa18)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from tdnet_models.blocks import ConvNorm, leaky_relu, resize
from tdnet_models.variants import NetworkSpec

__all__ = ["LEVELS", "FanetHead", "FastAttention", "fanet_features"]

FAST_KEY_WIDTH = 32
LEVELS = (4, 8, 16, 32)
"""Names of the levels, finest first; layer1 to layer4 feed them."""


class FastAttention(nn.Module):
    """Attention without softmax: q·(kᵀ·v) with q and k of unit length at each position."""

    def __init__(self, channels: int, *, up: int, smooth: int) -> None:
        super().__init__()
        self.w_qs = ConvNorm(channels, FAST_KEY_WIDTH, bias=False)
        self.w_ks = ConvNorm(channels, FAST_KEY_WIDTH, bias=False)
        self.w_vs = ConvNorm(channels, channels, bias=False, activation=leaky_relu())
        self.latlayer3 = ConvNorm(channels, channels, bias=False, activation=leaky_relu())
        # A 1×1 convolution with padding 1: its map is two rows and columns larger, as in the public code.
        self.up = ConvNorm(channels, up, padding=1, bias=False, activation=leaky_relu())
        self.smooth = ConvNorm(channels, smooth, kernel=3, padding=1, bias=False, activation=leaky_relu())

    def forward(self, x: torch.Tensor, coarser: torch.Tensor | None) -> torch.Tensor:
        """[N, C, h, w] and the coarser level's `up` output → [N, C, h, w]."""
        n, c, h, w = x.shape
        query = F.normalize(self.w_qs(x).flatten(2), dim=1, eps=1e-12)  # [N, 32, hw]
        key = F.normalize(self.w_ks(x).flatten(2), dim=1, eps=1e-12)  # [N, 32, hw]
        value = self.w_vs(x).flatten(2)  # [N, C, hw]
        mixed = torch.bmm(torch.bmm(value, key.transpose(1, 2)), query)  # [N, C, hw]
        x = x + self.latlayer3(mixed.view(n, c, h, w))
        return x if coarser is None else x + resize(coarser, (h, w))


def fanet_features(maps: list[torch.Tensor], neck: dict[int, FastAttention]) -> torch.Tensor:
    """Outputs of layer1 to layer4 and the modules by level → features z [N, 2·neck, h, w]."""
    at_8, at_16, at_32, at_64 = maps
    x = neck[32](at_64, None)
    x = neck[16](at_32, neck[32].up(x))
    coarse = neck[16].smooth(x)
    x = neck[8](at_16, neck[16].up(x))
    x = neck[4](at_8, neck[8].up(x))
    size_hw = (x.shape[2], x.shape[3])
    return torch.cat([resize(coarse, size_hw), neck[4].smooth(x)], dim=1)


def build_neck(spec: NetworkSpec) -> dict[int, FastAttention]:
    """One module for each level."""
    return {
        level: FastAttention(channels, up=channels // 2, smooth=spec.neck)
        for level, channels in zip(LEVELS, spec.trunk_channels, strict=True)
    }


class FanetHead(nn.Module):
    """3×3 convolution+BN+LeakyReLU, 1×1 convolution; no biases."""

    def __init__(self, inputs: int, middle: int, classes: int) -> None:
        super().__init__()
        self.conv = ConvNorm(inputs, middle, kernel=3, padding=1, bias=False, activation=leaky_relu())
        self.conv_out = nn.Conv2d(middle, classes, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, inputs, h, w] → [N, K, h, w]."""
        return self.conv_out(self.conv(x))  # type: ignore[no-any-return]
