"""The processes that train one network together, as `torchrun` starts them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed, nn

from tdnet_runtime.errors import OptionError

__all__ = ["Ranks", "joined_ranks"]

_PATIENCE = timedelta(days=1)
"""How long ranks wait for the first one, which validates alone: PyTorch's own 10 minutes (NCCL) and 30 (gloo) are short."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among the others.

    Attributes:
        rank: 0 to size−1; 0 writes the files and validates.
        size: processes.
        device: where this one computes.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """True for the one that writes."""
        return self.rank == 0

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """The mean of a tensor over ranks; without gradients."""
        if self.size > 1:
            value = value.clone()
            distributed.all_reduce(value)
            value /= self.size
        return value

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give every rank the mean of all ranks' gradients.

        All ranks run the same path in a step, so that the same parameters have one.
        """
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        flat /= self.size
        means = torch.split(flat, [gradient.numel() for gradient in gradients])
        for gradient, mean in zip(gradients, means, strict=True):
            gradient.copy_(mean.view_as(gradient))

    def any(self, flag: bool) -> bool:
        """True where it is on one of the ranks."""
        if self.size == 1:
            return flag
        return bool(self.mean(torch.tensor(float(flag), device=self.device)) > 0)

    def wait(self) -> None:
        """Until all ranks are here."""
        if self.size > 1:
            distributed.barrier()


@contextmanager
def joined_ranks(device: str) -> Iterator[Ranks]:
    """This process's place, from what torchrun put into the environment; the only one without it.

    Args:
        device: `auto`, `cpu`, `cuda` or `cuda:N`. With several ranks each takes the GPU of its local rank.

    Raises:
        OptionError: no such device.
    """
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    name = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    if size > 1 and name == "cuda":
        name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    try:
        chosen = torch.device(name)
    except RuntimeError as error:
        raise OptionError(f"run.device is {device!r}; expected auto, cpu, cuda or cuda:N") from error
    if chosen.type not in ("cpu", "cuda"):
        raise OptionError(f"run.device is {device!r}; expected auto, cpu, cuda or cuda:N")
    if chosen.type == "cuda":
        if not torch.cuda.is_available():
            raise OptionError(f"run.device is {device!r}, but PyTorch finds no GPU here; use cpu")
        if (chosen.index or 0) >= torch.cuda.device_count():
            raise OptionError(f"run.device is {name!r}; PyTorch finds {torch.cuda.device_count()} GPUs")
        torch.cuda.set_device(chosen)
    if size == 1:
        yield Ranks(0, 1, chosen)
        return
    distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield Ranks(rank, size, chosen)
    finally:
        distributed.destroy_process_group()
