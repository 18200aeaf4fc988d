"""The small modules that every network is made of. Names follow the public checkpoints."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["ConvNorm", "SpatialNorm", "leaky_relu", "resize"]

LEAK = 0.01


def leaky_relu() -> nn.Module:
    """LeakyReLU with the slope that FANet and the encodings use."""
    return nn.LeakyReLU(LEAK, inplace=True)


def resize(x: torch.Tensor, size_hw: tuple[int, int]) -> torch.Tensor:
    """Bilinear with aligned corners, as all upsampling in TDNet: [N, C, ?, ?] → [N, C, *size_hw]."""
    return F.interpolate(x, size=size_hw, mode="bilinear", align_corners=True)


class ConvNorm(nn.Module):
    """Convolution `conv`, optionally BatchNorm `bn`, optionally an activation."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: int = 1,
        padding: int = 0,
        bias: bool = True,
        norm: bool = True,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=bias)
        self.bn = nn.BatchNorm2d(outputs) if norm else None
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, inputs, h, w] → [N, outputs, h', w']."""
        x = self.conv(x)
        if self.bn is not None:
            x = self.bn(x)
        return x if self.activation is None else self.activation(x)


class SpatialNorm(nn.Module):
    """LayerNorm over the h×w plane of each channel, with a gain and bias for each position."""

    def __init__(self, feature_size: tuple[int, int]) -> None:
        super().__init__()
        self.ln = nn.LayerNorm(list(feature_size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, V, h, w] → [N, V, h, w]."""
        return self.ln(x)  # type: ignore[no-any-return]
