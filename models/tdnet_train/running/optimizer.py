"""Which parameters are decayed and how fast each learns."""

from __future__ import annotations

import torch
from torch import nn

from tdnet_train.networks.clip_network import ClipNetwork
from tdnet_train.settings import OptimizerSettings

__all__ = ["build_optimizer", "map_roughness", "set_learning_rate"]


def build_optimizer(
    network: ClipNetwork, settings: OptimizerSettings, *, rate: float
) -> torch.optim.Optimizer:
    """SGD or AdamW with the public code's groups (`get_params`): weights of convolutions are decayed, and nothing else.

    What a step does not use (the other paths' heads) has no gradient and is left as it is.

    Args:
        network: what is trained.
        settings: of the optimiser.
        rate: learning rate of its first step.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for prefix, module in network.named_modules():
        trunk = prefix.startswith("network.pretrained")
        for name, parameter in module.named_parameters(recurse=False):
            decayed = name == "weight" and isinstance(module, (nn.Conv2d, nn.Linear))
            groups.setdefault((trunk, decayed), []).append(parameter)
    parameters = [
        {
            "params": members,
            "weight_decay": settings.weight_decay if decayed else 0.0,
            "factor": 1.0 if trunk else settings.head_factor,
        }
        for (trunk, decayed), members in groups.items()
    ]
    optimizer: torch.optim.Optimizer
    if settings.kind == "adamw":
        optimizer = torch.optim.AdamW(parameters, lr=rate, betas=settings.betas, fused=True)
    else:
        # Not `fused`, which torch 2.13 refuses where a parameter has its first gradient later than others.
        optimizer = torch.optim.SGD(parameters, lr=rate, momentum=settings.momentum, foreach=True)
    set_learning_rate(optimizer, rate)
    return optimizer


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its share of `rate`."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]


def map_roughness(network: ClipNetwork) -> torch.Tensor:
    """The mean squared difference of neighbours in the LayerNorm maps (gain and bias), summed over maps: a scalar."""
    maps = [value for name, value in network.network.named_parameters() if name.startswith("layer_norm")]
    terms = [value.diff(dim=axis).square().mean() for value in maps for axis in (0, 1)]
    return torch.stack(terms).sum() if terms else torch.zeros(())
