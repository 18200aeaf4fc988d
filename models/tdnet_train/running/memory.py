"""How much memory a run has used."""

from __future__ import annotations

import resource

import torch

__all__ = ["peak_memory_mib"]


def peak_memory_mib(device: torch.device) -> float:
    """The most so far, in MiB: PyTorch's on a GPU, this process's resident set on a CPU (Linux counts it in KiB)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
