"""From a trained checkpoint to a verified bundle.

Importing this package needs none of its extras.
"""

from __future__ import annotations

from tdnet_runtime.extras import launch

__all__ = ["main"]


def main() -> None:
    """Console script `tdnet-export`."""
    launch("tdnet-export", "tdnet_export.cli:app", extra="export")
