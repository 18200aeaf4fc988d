"""A ResNet in training: its stem's maps, the largest of a step, are made again in the backward pass, not kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

__all__ = ["trunk_maps"]


def trunk_maps(trunk: nn.Module, image: torch.Tensor) -> list[torch.Tensor]:
    """What `tdnet_models.resnet.ResNet` makes of a normalised image [N, 3, H, W]: outputs of layer1 to layer4.

    With gradients, the stem's maps are made twice: a fifth of a step's memory for a twentieth of its time. BatchNorm's
    running statistics see the first time alone.
    """
    if torch.is_grad_enabled() and trunk.training:
        x = checkpoint(_Stem(trunk), image, use_reentrant=False, preserve_rng_state=False)
    else:
        x = _Stem(trunk)(image)
    maps = []
    for number in (1, 2, 3, 4):
        x = trunk.get_submodule(f"layer{number}")(x)
        maps.append(x)
    return maps


class _Stem:
    def __init__(self, trunk: nn.Module) -> None:
        self._trunk: Any = trunk
        self._again = False

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """[N, 3, H, W] → [N, C, ⌈H/4⌉, ⌈W/4⌉]."""
        if self._again:
            with _kept_statistics(self._trunk):
                return self._made(image)
        self._again = True
        return self._made(image)

    def _made(self, image: torch.Tensor) -> torch.Tensor:
        trunk = self._trunk
        x = trunk.bn1(trunk.conv1(image))
        x = F.leaky_relu(x, trunk.leak, inplace=True) if trunk.leak else F.relu(x, inplace=True)
        return F.max_pool2d(x, 3, stride=2, padding=1)


@contextmanager
def _kept_statistics(trunk: Any) -> Iterator[None]:
    """The stem's BatchNorms do not learn in here."""
    norms = [
        module
        for part in (trunk.conv1, trunk.bn1)
        for module in part.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
    ]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        norm.num_batches_tracked = (
            None if norm.num_batches_tracked is None else norm.num_batches_tracked.clone()
        )
    try:
        yield
    finally:
        for norm, (momentum, tracked) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, tracked
