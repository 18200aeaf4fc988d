"""ResNet trunks: dilated to output stride 8 for the PSP family, strided throughout for FANet."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from tdnet_models.blocks import LEAK
from tdnet_models.variants import NetworkSpec

__all__ = ["BasicBlock", "Bottleneck", "ResNet", "layer_plan"]

MULTI_GRID = (4, 8, 16)
"""Dilations of the blocks of layer4 in the PSP family."""


def layer_plan(spec: NetworkSpec) -> list[list[tuple[int, int, int]]]:
    """For each layer and block: (stride, dilation of the block, dilation of the layer); spec §2."""
    counts = spec.variant.blocks
    if spec.variant.family == "fanet":
        return [[(2 if block == 0 else 1, 1, 1) for block in range(count)] for count in counts]
    one = [(1, 1, 1)] * counts[0]
    two = [(2 if block == 0 else 1, 1, 1) for block in range(counts[1])]
    three = [(1, 1 if block == 0 else 2, 2) for block in range(counts[2])]
    four = [(1, MULTI_GRID[block], 4) for block in range(counts[3])]
    return [one, two, three, four]


def _activated(x: torch.Tensor, leak: float) -> torch.Tensor:
    """ReLU, or LeakyReLU with the slope `leak`; in place."""
    return F.leaky_relu(x, leak, inplace=True) if leak else F.relu(x, inplace=True)


def _conv3x3(inputs: int, outputs: int, *, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=dilation, dilation=dilation, bias=False)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))


class BasicBlock(nn.Module):
    """Two 3×3 convolutions; `leak` is the slope of the activation between them (0: ReLU)."""

    expansion = 1

    def __init__(
        self, inputs: int, planes: int, *, stride: int, dilation: int, layer_dilation: int, leak: float
    ) -> None:
        super().__init__()
        self.leak = leak
        self.conv1 = _conv3x3(inputs, planes, stride=stride, dilation=dilation)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = _conv3x3(planes, planes, dilation=layer_dilation)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = _shortcut(inputs, planes, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, inputs, h, w] → [N, planes, h/stride, w/stride]."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = _activated(self.bn1(self.conv1(x)), self.leak)
        x = self.bn2(self.conv2(x))
        return F.relu(x.add_(shortcut), inplace=True)


class Bottleneck(nn.Module):
    """1×1, 3×3 (with the stride and the block's dilation), 1×1 to four times the planes; `leak` as in `BasicBlock`."""

    expansion = 4

    def __init__(self, inputs: int, planes: int, *, stride: int, dilation: int, leak: float) -> None:
        super().__init__()
        self.leak = leak
        outputs = self.expansion * planes
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = _conv3x3(planes, planes, stride=stride, dilation=dilation)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, inputs, h, w] → [N, 4·planes, h/stride, w/stride]."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = _activated(self.bn1(self.conv1(x)), self.leak)
        x = _activated(self.bn2(self.conv2(x)), self.leak)
        x = self.bn3(self.conv3(x))
        return F.relu(x.add_(shortcut), inplace=True)


def _deep_stem(width: int) -> nn.Sequential:
    return nn.Sequential(
        _conv3x3(3, width, stride=2),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        _conv3x3(width, width),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        _conv3x3(width, 2 * width),
    )


class ResNet(nn.Module):
    """A trunk. Its unused classifier `fc` is kept where the checkpoint has one, and never run."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.leak = LEAK if spec.variant.family == "fanet" else 0.0
        self.conv1: nn.Module = (
            _deep_stem(spec.stem)
            if spec.variant.deep_stem
            else nn.Conv2d(3, spec.stem, 7, stride=2, padding=3, bias=False)
        )
        self.bn1 = nn.BatchNorm2d(spec.stem_out)
        channels = spec.stem_out
        for number, (planes, blocks) in enumerate(zip(spec.planes, layer_plan(spec), strict=True), start=1):
            layer = nn.Sequential()
            for stride, dilation, layer_dilation in blocks:
                block = (
                    Bottleneck(channels, planes, stride=stride, dilation=dilation, leak=self.leak)
                    if spec.variant.bottleneck
                    else BasicBlock(
                        channels,
                        planes,
                        stride=stride,
                        dilation=dilation,
                        layer_dilation=layer_dilation,
                        leak=self.leak,
                    )
                )
                layer.append(block)
                channels = block.expansion * planes
            self.add_module(f"layer{number}", layer)
        self.fc = nn.Linear(channels, spec.classifier) if spec.classifier else None

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Normalised [N, 3, H, W] → outputs of layer1 to layer4."""
        x = _activated(self.bn1(self.conv1(image)), self.leak)
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        outputs = []
        for number in (1, 2, 3, 4):
            x = self.get_submodule(f"layer{number}")(x)
            outputs.append(x)
        return outputs
