"""The head on layer3 that only training has."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["AuxiliaryHead"]


class AuxiliaryHead(nn.Module):
    """3×3 convolution to a quarter of the channels, BN+ReLU, dropout, 1×1 convolution; the public `FCNHead`."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        middle = channels // 4
        self.conv5 = nn.Sequential(
            nn.Conv2d(channels, middle, 3, padding=1, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU(inplace=True),
            nn.Dropout2d(0.1),
            nn.Conv2d(middle, classes, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, C, h, w] → [N, K, h, w]."""
        return self.conv5(x)  # type: ignore[no-any-return]
