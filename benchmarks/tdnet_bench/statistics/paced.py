"""Statistics of frames at a camera's rate: pure functions of the records.

All of them are over the warm part of a paced stream: from its first warm frame that was processed to the last one that
was. Arrival i is at i/fps. What is missed, dropped and jitter: see `DEFINITIONS`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tdnet_bench.records import Record
from tdnet_bench.records.frames import PacedRecord
from tdnet_bench.statistics.latency import NS_PER_MS, LatencyStats, latency_stats, stats_by_path

__all__ = ["Gaps", "PacedSummary", "arrival_ns", "paced_stats"]

_NS_PER_S = 1e9


class Gaps(Record, frozen=True, kw_only=True):
    """Times from one frame's labels to the next one's.

    Jitter is their standard deviation (over all of them, not an estimate for more); for the longest a robot steered
    by the same labels.
    """

    count: int
    jitter_ms: float
    shortest_ms: float
    longest_ms: float


class PacedSummary(Record, frozen=True, kw_only=True):
    """The warm part of one paced stream.

    Of the frames that arrived, some were processed, and of these some missed their deadline; the rest was dropped.
    Latency is from arrival to usable labels, waiting included. There are no gaps below two processed frames.
    """

    fps: float
    period_ms: float
    arrived: int
    processed: int
    dropped: int
    missed: int
    latency: LatencyStats
    host_call: LatencyStats
    host_call_by_path: dict[int, LatencyStats]
    gaps: Gaps | None


def arrival_ns(frame: int, fps: float) -> int:
    """When frame `frame` arrives, after frame 0."""
    return round(frame * _NS_PER_S / fps)


def paced_stats(records: Sequence[PacedRecord]) -> PacedSummary | None:
    """Of the records of one rate, in the order of the frames; None without a warm frame."""
    warm = [record for record in records if not record.cold and record.push > 0]
    latency = latency_stats([record.done_ns - record.arrival_ns for record in warm])
    host_call = latency_stats([record.done_ns - record.started_ns for record in warm])
    if latency is None or host_call is None:
        return None
    fps = warm[0].fps
    arrived = warm[-1].frame - warm[0].frame + 1
    return PacedSummary(
        fps=fps,
        period_ms=1e3 / fps,
        arrived=arrived,
        processed=len(warm),
        dropped=arrived - len(warm),
        missed=sum(record.done_ns > arrival_ns(record.frame + 1, fps) for record in warm),
        latency=latency,
        host_call=host_call,
        host_call_by_path=stats_by_path((r.path, r.done_ns - r.started_ns) for r in warm),
        gaps=_gaps([record.done_ns for record in warm]),
    )


def _gaps(done_ns: Sequence[int]) -> Gaps | None:
    if len(done_ns) < 2:
        return None
    gaps_ms = np.diff(np.asarray(done_ns, dtype=np.float64)) / NS_PER_MS
    return Gaps(
        count=len(gaps_ms),
        jitter_ms=float(gaps_ms.std()),
        shortest_ms=float(gaps_ms.min()),
        longest_ms=float(gaps_ms.max()),
    )
