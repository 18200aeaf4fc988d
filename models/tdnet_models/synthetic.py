"""Networks with made-up weights, for measuring speed where no checkpoint is at hand."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from tdnet_models.tdnet import Network, build_network
from tdnet_models.variants import spec_from_widths

__all__ = ["synthetic_network"]


def synthetic_network(
    name: str,
    *,
    classes: int,
    input_size: tuple[int, int],
    widths: Mapping[str, int | tuple[int, ...]],
    seed: int = 0,
) -> Network:
    """A network of the given shapes whose activations stay in a trained network's range.

    The masks mean nothing; the time per frame is that of a trained network of these shapes.

    Args:
        name: such as `td2-psp50`, `td4-psp18`, `td2-fa18` or `psp101`.
        classes: K.
        input_size: (H, W) of the image.
        widths: channel widths as in `NetworkSpec.widths` or a bundle's manifest.
        seed: the same seed gives the same weights.

    Returns:
        The network in evaluation mode, float32, on the CPU, without gradients.

    Raises:
        OptionError: no network has that name.
    """
    spec = spec_from_widths(name, classes=classes, input_size=input_size, widths=widths)
    with torch.device("meta"):
        network = build_network(spec)
    network = network.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, value in network.state_dict().items():
            if value.dim() > 1 and not key.startswith("layer_norm"):
                value.normal_(0.0, (2.0 / value[0].numel()) ** 0.5, generator=generator)
            elif key.endswith(("running_var", "weight")):
                value.fill_(0.6 if key.endswith("weight") else 1.0)  # damped, as residual sums grow
            else:
                value.zero_()
    return network.requires_grad_(False).eval()
