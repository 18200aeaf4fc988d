"""What labels are worth, on data sets of videos: deployed bundles and PyTorch in one table, by position in the cycle.

Importing this package needs none of its extras.
"""

from __future__ import annotations

from tdnet_runtime.extras import launch

__all__ = ["main"]


def main() -> None:
    """Console script `tdnet-eval`."""
    launch("tdnet-eval", "tdnet_eval.cli:app", extra="eval")
