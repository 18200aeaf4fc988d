"""The two clocks of a check: the host's around a call, and events on the GPU around a frame's work."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from tdnet_bench.gpu_check.gpu import Gpu
from tdnet_bench.gpu_check.records import Timed
from tdnet_bench.inputs.footage import to_and_fro
from tdnet_bench.statistics.latency import latency_stats
from tdnet_runtime.errors import BackendError

__all__ = ["WARM_UP_ROUNDS", "Plan", "Push", "Sample", "alternate_calls", "alternate_on_gpu", "timed"]

WARM_UP_ROUNDS = 5
"""Rounds of all paths before the first timed frame: cold frames, clocks, caches."""

Push: TypeAlias = Callable[[Any], int]
"""Takes a frame; the path that it ran."""

Sample: TypeAlias = tuple[int, int]
"""(path, nanoseconds)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How many frames.

    Attributes:
        paths: m.
        rounds: timed frames of each path.
    """

    paths: int
    rounds: int

    @property
    def warm_up(self) -> int:
        """Frames before the first timed one."""
        return WARM_UP_ROUNDS * self.paths

    @property
    def frames(self) -> int:
        """All frames."""
        return self.warm_up + self.rounds * self.paths


def alternate_calls(
    sides: Sequence[Push],
    frames: Sequence[Any],
    plan: Plan,
    *,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> list[list[Sample]]:
    """Time each side's call, one frame after the other, all sides on each frame before the next one.

    Args:
        sides: their pushes are complete on return.
        frames: played to and fro.
        plan: how many.
        clock: monotonic, in nanoseconds.

    Returns:
        The samples of each side.
    """
    samples: list[list[Sample]] = [[] for _ in sides]
    for index in range(plan.frames):
        frame = frames[to_and_fro(index, len(frames))]
        for push, kept in zip(sides, samples, strict=True):
            started = clock()
            path = push(frame)
            took = clock() - started
            if index >= plan.warm_up:
                kept.append((path, took))
    return samples


def alternate_on_gpu(
    sides: Sequence[Push], frames: Sequence[Any], plan: Plan, *, gpu: Gpu, stream: Any
) -> list[list[Sample]]:
    """As `alternate_calls`, between two events around each frame's work on `stream`.

    Nobody waits between frames, so that the GPU need not wait for the host where the host is the faster one.
    """
    marks: list[list[tuple[int, Any, Any]]] = [[] for _ in sides]
    for index in range(plan.frames):
        frame = frames[to_and_fro(index, len(frames))]
        for push, kept in zip(sides, marks, strict=True):
            start, end = gpu.event(), gpu.event()
            start.record(stream)
            path = push(frame)
            end.record(stream)
            if index >= plan.warm_up:
                kept.append((path, start, end))
    gpu.synchronize()
    return [[(path, round(s.elapsed_time(e) * 1e6)) for path, s, e in kept] for kept in marks]


def timed(samples: Sequence[Sample], *, method: str) -> Timed:
    """The samples with their distribution.

    Raises:
        BackendError: there are none.
    """
    overall = latency_stats([took for _, took in samples])
    if overall is None:
        raise BackendError("no frame was timed")
    by_path = {path: [took for p, took in samples if p == path] for path, _ in sorted(samples)}
    stats = {path: latency_stats(times) for path, times in by_path.items()}
    return Timed(
        method=method,
        overall=overall,
        by_path={path: found for path, found in stats.items() if found is not None},
        samples_us={path: tuple(round(took / 1e3, 1) for took in times) for path, times in by_path.items()},
    )
