"""From a configuration to a network with its first weights."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import nn

from tdnet_models.resnet import ResNet
from tdnet_models.sizes import checked_size
from tdnet_models.tdnet import Network, build_network
from tdnet_models.variants import PUBLISHED, NetworkSpec
from tdnet_runtime.errors import OptionError
from tdnet_train.settings import NetworkSettings

__all__ = ["fresh_network", "spec_from_settings"]

_LEAST_PLANES = 4
"""Of a layer: pyramid pooling divides the channels by 4, and by 2 for the halves."""


def spec_from_settings(settings: NetworkSettings, *, classes: int) -> NetworkSpec:
    """The network that is asked for; widths are the published ones times `width` where none is named.

    Raises:
        OptionError: no network has that name, or a width leaves no channel.
        SizeError: the network cannot take the size.
    """
    if settings.name not in PUBLISHED:
        raise OptionError(f"network.name is {settings.name!r}; known are {', '.join(PUBLISHED)}")
    published = PUBLISHED[settings.name]
    planes = settings.planes or tuple(_scaled(width, settings.width) for width in published.planes)
    spec = replace(
        published,
        classes=classes,
        input_size=checked_size(published.variant, settings.size, maps=None),
        stem=settings.stem or _scaled(published.stem, settings.width),
        planes=planes,  # type: ignore[arg-type]  # four of them
        value=settings.value or _scaled(published.value, settings.width),
        head=settings.head or _scaled(published.head, settings.width),
        neck=settings.neck or _scaled(published.neck, settings.width),
        classifier=0,
        auxiliary=0,
    )
    variant = spec.variant
    if variant.family == "psp":
        named = [key for key in ("value", "neck") if getattr(settings, key) and not getattr(published, key)]
    else:
        named = []
    if named:
        raise OptionError(f"network.{named[0]} is given, but {settings.name} has no such width; leave it out")
    multiple = 8 if variant.family == "psp" and variant.temporal else 4
    if any(width % multiple for width in spec.trunk_channels[3:]) or min(spec.planes) < _LEAST_PLANES:
        raise OptionError(
            f"the planes of {settings.name} are {list(spec.planes)}; expected {_LEAST_PLANES} or more each, and the last "
            f"layer's {spec.trunk_channels[3]} channels a multiple of {multiple}"
        )
    return spec


def _scaled(width: int, factor: float) -> int:
    return max(round(width * factor), 1) if width else 0


def fresh_network(spec: NetworkSpec, *, seed: int) -> Network:
    """The network with random weights, in training mode, float32, on the CPU. The same seed gives the same weights.

    Convolutions of the trunk are drawn for ReLUs behind them (He, fan-out), all others as the public code does
    (`kaiming_normal_(a=1)`, fan-in); biases are 0, norms the identity.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(spec)
        for module in network.modules():
            if isinstance(module, ResNet):
                _for_relu(module)
        trunks = {id(m) for net in network.modules() if isinstance(net, ResNet) for m in net.modules()}
        for module in network.modules():
            if isinstance(module, nn.Conv2d) and id(module) not in trunks:
                nn.init.kaiming_normal_(module.weight, a=1)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
    return network.train()


def _for_relu(trunk: nn.Module) -> None:
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
            nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))
