"""What each further stream of a side takes, beside one that is open: the weights are shared, its buffers are not."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import psutil

from tdnet_bench.records.config import StreamMemory
from tdnet_bench.sides.bundle_side import BundleSide
from tdnet_bench.sides.side import Array, Tick

__all__ = ["measure_streams"]

_MIB = 1 << 20
_OWN = ("device_bytes", "scratch_bytes", "pinned_bytes")


def measure_streams(
    side: BundleSide, images: Sequence[Array], count: int, *, tick: Tick = lambda: None
) -> StreamMemory:
    """Open `count` streams after a first one, and run each of them through all paths, with m or more `images`.

    To be done after everything that is timed: what is opened takes memory.
    """
    frames = images[: len(side.segmenter.manifest.paths)]
    own = None
    taken = []
    with ExitStack() as stack:
        for _ in range(1 + count):
            before = _used_bytes(side)
            stream = stack.enter_context(side.segmenter.stream())
            for frame in frames:
                stream.push(frame)
            taken.append((_used_bytes(side) - before) / _MIB)
            use = stream.memory_use
            own = None if use is None else {name: getattr(use, name) for name in _OWN}
            tick()
    return StreamMemory(
        on="host" if side.gpu is None else "device", further_mib=tuple(taken[1:]), own_bytes=own
    )


def _used_bytes(side: BundleSide) -> int:
    """Of the GPU by the driver's count, upside down; else of this process's resident memory."""
    return psutil.Process().memory_info().rss if side.gpu is None else -side.gpu.free_bytes()
