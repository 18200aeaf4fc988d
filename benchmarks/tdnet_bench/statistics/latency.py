"""Statistics of one list of times: pure functions. Nothing is clipped and nothing is dropped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tdnet_bench.records import Record

__all__ = [
    "NS_PER_MS", "P99_MIN_SAMPLES", "Drift", "LatencyStats", "drift_stats", "latency_stats", "ripple_ms", "stats_by_path",
]  # fmt: skip

P99_MIN_SAMPLES = 100
"""Below this a p99 is nothing but the maximum under another name."""

NS_PER_MS = 1e6
_WINDOWS = 4


class LatencyStats(Record, frozen=True, kw_only=True):
    """Distribution of some times; percentiles interpolate linearly. There is a p99 from `P99_MIN_SAMPLES` samples on."""

    samples: int
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float | None
    max_ms: float
    mean_ms: float
    min_ms: float


class Drift(Record, frozen=True, kw_only=True):
    """How the p50 changed from the first window of the warm frames to the last: last over first, less 1.

    A window is the most whole rounds of all paths that fit into a quarter of the warm frames.
    """

    window_frames: int
    first_p50_ms: float
    last_p50_ms: float
    change: float


def latency_stats(times_ns: Sequence[int]) -> LatencyStats | None:
    """Distribution of `times_ns`; None where there are none."""
    if not times_ns:
        return None
    values = np.asarray(times_ns, dtype=np.float64) / NS_PER_MS
    p50, p90, p95, p99 = np.percentile(values, (50, 90, 95, 99), method="linear").tolist()
    return LatencyStats(
        samples=len(values),
        p50_ms=p50,
        p90_ms=p90,
        p95_ms=p95,
        p99_ms=p99 if len(values) >= P99_MIN_SAMPLES else None,
        max_ms=float(values.max()),
        mean_ms=float(values.mean()),
        min_ms=float(values.min()),
    )


def stats_by_path(times_ns: Iterable[tuple[int, int]]) -> dict[int, LatencyStats]:
    """Of (path, time) pairs, the paths in their order."""
    grouped: dict[int, list[int]] = {}
    for path, time_ns in times_ns:
        grouped.setdefault(path, []).append(time_ns)
    stats = {path: latency_stats(of_path) for path, of_path in sorted(grouped.items())}
    return {path: of_path for path, of_path in stats.items() if of_path is not None}


def ripple_ms(by_path: dict[int, LatencyStats]) -> float | None:
    """p50 of the slowest path less p50 of the fastest; None for fewer than two paths."""
    p50s_ms = [stats.p50_ms for stats in by_path.values()]
    return max(p50s_ms) - min(p50s_ms) if len(p50s_ms) > 1 else None


def drift_stats(times_ns: Sequence[int], *, paths: int) -> Drift | None:
    """Drift of the times of consecutive warm frames; None where no round fits into a quarter of them.

    Windows of whole rounds of m `paths` do not mix up drift with the paths' own differences.
    """
    window = len(times_ns) // _WINDOWS // paths * paths
    if window == 0:
        return None
    first_ms = float(np.median(times_ns[:window])) / NS_PER_MS
    last_ms = float(np.median(times_ns[-window:])) / NS_PER_MS
    return Drift(
        window_frames=window, first_p50_ms=first_ms, last_p50_ms=last_ms, change=last_ms / first_ms - 1
    )
