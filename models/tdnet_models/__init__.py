"""TDNet in PyTorch: networks, checkpoints and the streaming oracle.

Importing this package does not import torch; using any of its names does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tdnet_models.checkpoint import load_checkpoint
    from tdnet_models.reference import ReferenceStream
    from tdnet_models.synthetic import synthetic_network
    from tdnet_models.tdnet import Network, PerFrameNetwork, TemporalNetwork

__all__ = [
    "Network",
    "PerFrameNetwork",
    "ReferenceStream",
    "TemporalNetwork",
    "load_checkpoint",
    "synthetic_network",
]

_HOMES = {
    "Network": "tdnet",
    "PerFrameNetwork": "tdnet",
    "ReferenceStream": "reference",
    "TemporalNetwork": "tdnet",
    "load_checkpoint": "checkpoint",
    "synthetic_network": "synthetic",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        from tdnet_runtime.errors import MissingExtraError  # only where it is needed

        raise MissingExtraError(
            f"tdnet_models.{name} needs PyTorch, which is not installed; install it with: "
            "pip install 'tdnet-deploy[export]'"
        ) from error
