"""`tdnet-batch`: many videos, logs and folders of images, on this machine's cores and GPUs or on a cluster of Ray.

Importing this package needs none of its extras.
"""

from __future__ import annotations

from tdnet_runtime.extras import launch

__all__ = ["main"]


def main() -> None:
    """Console script `tdnet-batch`."""
    launch("tdnet-batch", "tdnet_batch.cli:command", extra="ray")
