"""Latency of a bundle against the PyTorch reference: records, statistics, report.

Importing this package needs none of its extras.
"""

from __future__ import annotations

from tdnet_runtime.extras import launch

__all__ = ["main"]


def main() -> None:
    """Console script `tdnet-bench`."""
    launch("tdnet-bench", "tdnet_bench.cli:app", extra="bench")
