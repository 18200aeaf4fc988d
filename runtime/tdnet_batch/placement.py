"""How many workers, and what each of them is given."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tdnet_runtime.errors import OptionError

__all__ = ["GPU_BACKENDS", "Placement", "place_workers"]

GPU_BACKENDS = ("tensorrt", "tensorrt-rtx", "cuda")


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """So many workers, each with so many CPU threads, and so much of a GPU."""

    workers: int
    threads: int
    gpus: float = 0.0


def place_workers(
    nodes: Sequence[Mapping[str, float]],
    *,
    inputs: int,
    backend: str,
    workers: int | None = None,
    threads: int | None = None,
    gpus: float | None = None,
) -> Placement:
    """What was asked for, and for the rest what pays: one worker for each GPU, else one for each core.

    With fewer inputs than cores each worker gets more of them. One thread each, because decoding, the network's smaller
    operators and writing PNGs use one core whatever they are given (measured: docs/scale.md, Workers).

    Args:
        nodes: resources of the cluster's nodes, as Ray counts them: `CPU`, `GPU`.
        inputs: how many there are to do.
        backend: of the network.
        workers: that were asked for; None for what pays, as are the others.
        threads: of the CPU for each worker.
        gpus: for each worker; may be a part of one.

    Raises:
        OptionError: no node has what one worker is to be given.
    """
    cores = int(sum(node.get("CPU", 0) for node in nodes))
    devices = sum(node.get("GPU", 0) for node in nodes)
    if gpus is None:
        gpus = 1.0 if backend in GPU_BACKENDS or (backend == "auto" and devices >= 1) else 0.0
    if workers is None:
        if gpus:
            at_most = sum(_workers_on(node.get("GPU", 0), gpus) for node in nodes)
        elif threads is not None:
            at_most = int(sum(node.get("CPU", 0) // threads for node in nodes))
        else:
            at_most = cores
        workers = max(1, min(at_most, inputs))
    if threads is None:
        threads = max(1, cores // workers)
        if len(nodes) > 1:
            threads = min(threads, max(1, int(max(node.get("CPU", 0) for node in nodes))))
    if not any(node.get("GPU", 0) >= gpus for node in nodes):
        raise OptionError(
            f"each worker is to have {gpus:g} GPU, and no node has that ({devices:g} in all by Ray's count); give --gpus 0 "
            "and a backend of the CPU, or start Ray where the GPU is"
        )
    return Placement(workers=workers, threads=threads, gpus=gpus)


def _workers_on(devices: float, gpus: float) -> int:
    """How many a node's GPUs take: several may share one, none has parts of two; and five tenths of 0.1 are not four."""
    if gpus < 1:
        return int(devices) * math.floor(1 / gpus + 1e-6)
    return int(devices // gpus)
