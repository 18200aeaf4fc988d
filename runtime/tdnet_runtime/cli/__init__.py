"""Command lines of the runtime: `tdnet-run`, `tdnet-inspect` and `tdnet-doctor`.

Importing this package needs none of its extras; the commands are imported when they are called.
"""

from __future__ import annotations

from tdnet_runtime.extras import launch

__all__ = ["doctor_main", "inspect_main", "run_main"]


def run_main() -> None:
    """Console script `tdnet-run`."""
    launch("tdnet-run", "tdnet_runtime.cli.run:app", extra="cli", abrupt=True)


def inspect_main() -> None:
    """Console script `tdnet-inspect`."""
    launch("tdnet-inspect", "tdnet_runtime.cli.inspect:app", extra="cli")


def doctor_main() -> None:
    """Console script `tdnet-doctor`."""
    launch("tdnet-doctor", "tdnet_runtime.cli.doctor:main", extra="cli")
