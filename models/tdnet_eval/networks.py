"""The PyTorch network that a bundle stands for; torch is imported when one is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tdnet_runtime.manifest import Manifest

if TYPE_CHECKING:
    from tdnet_models import Network
    from tdnet_models.preprocessing import Preprocessing

__all__ = ["network_for", "preprocessing_for"]


def network_for(manifest: Manifest, ckpt: Path | None) -> Network:
    """The PyTorch network that a bundle stands for: of the weights in `ckpt` those that it has; made-up ones for None.

    Raises:
        CheckpointError: `ckpt` cannot be loaded.
    """
    from tdnet_models import load_checkpoint, synthetic_network  # need torch

    size_hw = (manifest.input.height, manifest.input.width)
    if ckpt is not None:
        return load_checkpoint(ckpt, size=size_hw, weights=manifest.weights or None)
    return synthetic_network(
        manifest.network,
        classes=manifest.channels,
        input_size=size_hw,
        widths=manifest.widths,
    )


def preprocessing_for(manifest: Manifest) -> Preprocessing:
    """What the bundle's network was trained on, as its manifest says."""
    from tdnet_models.preprocessing import Preprocessing  # only beside PyTorch

    spec = manifest.input
    return Preprocessing(mean=spec.mean, std=spec.std, scale=spec.scale, color_order=spec.color_order)
