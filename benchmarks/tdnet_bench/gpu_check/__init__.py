"""What a GPU host without a network answers in one run; see docs/gpu-check.md.

Each part is a process of its own with a time limit, and each question in it a step: what fails, hangs or
crashes costs its own answer and no other.
"""

from __future__ import annotations

from tdnet_runtime.extras import launch

__all__ = ["main"]


def main() -> None:
    """`python -m tdnet_bench.gpu_check`."""
    launch("gpu-check", "tdnet_bench.gpu_check.cli:run", extra="bench")
