"""Pyramid pooling, and the head of the PSP family (spec §2)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from tdnet_models.blocks import resize

__all__ = ["POOL_SIZES", "PspHead", "PyramidPooling"]

POOL_SIZES = (1, 2, 3, 6)


class PyramidPooling(nn.Module):
    """Backbone features beside their averages over 1×1, 2×2, 3×3 and 6×6 grids.

    With a `group` (0 or 1) only that half of the backbone's channels and of each pooled map's is
    kept; with None all are.
    """

    def __init__(self, channels: int, *, group: int | None) -> None:
        super().__init__()
        self.group = group
        for number in range(1, len(POOL_SIZES) + 1):
            branch = nn.Sequential(
                nn.Conv2d(channels, channels // 4, 1, bias=False),
                nn.BatchNorm2d(channels // 4),
                nn.ReLU(inplace=True),
            )
            self.add_module(f"conv{number}", branch)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, C, h, w] → [N, C, h, w] with a group, [N, 2C, h, w] without."""
        size_hw = (x.shape[2], x.shape[3])
        parts = [self._kept(x)]
        for number, grid in enumerate(POOL_SIZES, start=1):
            pooled = self.get_submodule(f"conv{number}")(F.adaptive_avg_pool2d(x, grid))
            parts.append(resize(self._kept(pooled), size_hw))
        return torch.cat(parts, dim=1)

    def _kept(self, x: torch.Tensor) -> torch.Tensor:
        return x if self.group is None else x.chunk(2, dim=1)[self.group]


class PspHead(nn.Module):
    """3×3 convolution+BN+ReLU, dropout, 1×1 convolution; pyramid pooling first if asked for."""

    def __init__(
        self, inputs: int, middle: int, classes: int, *, pooling: PyramidPooling | None = None
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [] if pooling is None else [pooling]
        layers += [
            nn.Conv2d(inputs, middle, 3, padding=1, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU(inplace=True),
            nn.Dropout2d(0.1, inplace=False),
            nn.Conv2d(middle, classes, 1),
        ]
        self.conv5 = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, inputs, h, w] → [N, K, h, w]."""
        return self.conv5(x)  # type: ignore[no-any-return]
