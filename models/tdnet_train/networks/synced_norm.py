"""BatchNorm over the batches of all ranks: on a GPU PyTorch's own, elsewhere this."""

from __future__ import annotations

import torch
import torch.distributed.nn.functional as collective
from torch import nn

__all__ = ["synced"]


def synced(network: nn.Module, *, cuda: bool) -> nn.Module:
    """`network` with every BatchNorm computing its statistics over all ranks; names and values stay.

    PyTorch's SyncBatchNorm works on a GPU alone (2.13).
    """
    if cuda:
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-any-return,no-untyped-call]
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = _SyncedNorm
    return network


class _SyncedNorm(nn.BatchNorm2d):
    """Statistics by one differentiable all-reduce of count, sum and sum of squares."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, C, h, w] → the same, normalised over N of all ranks."""
        if not self.training:
            return super().forward(x)
        wide = x.float()
        count = wide.new_full((1,), wide.numel() / wide.shape[1])
        sums = torch.cat([wide.sum((0, 2, 3)), wide.square().sum((0, 2, 3)), count])
        sums = collective.all_reduce(sums)  # type: ignore[no-untyped-call]
        channels, n = x.shape[1], float(sums[-1])
        mean = sums[:channels] / n
        variance = sums[channels:-1] / n - mean.square()
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            assert self.momentum is not None
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (n / max(n - 1, 1)), self.momentum)
        scale = self.weight * torch.rsqrt(variance.clamp_min(0) + self.eps)
        shift = self.bias - mean * scale
        made: torch.Tensor = wide * scale[:, None, None] + shift[:, None, None]
        return made.to(x.dtype)
