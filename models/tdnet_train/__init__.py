"""Training of TDNet: grouped knowledge distillation, clips, stages, resumable runs.

Importing this package needs none of its extras.
"""

from __future__ import annotations

from tdnet_runtime.extras import launch

__all__ = ["main"]


def main() -> None:
    """Console script `tdnet-train`."""
    launch("tdnet-train", "tdnet_train.cli:app", extra="train")
