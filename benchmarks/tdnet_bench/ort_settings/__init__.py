"""How the backend `onnxruntime` is set up, measured against other ways; see docs/adr/0004."""

from __future__ import annotations

from tdnet_runtime.extras import launch

__all__ = ["main"]


def main() -> None:
    """`python -m tdnet_bench.ort_settings`."""
    launch("ort-settings", "tdnet_bench.ort_settings.cli:run", extra="bench")
