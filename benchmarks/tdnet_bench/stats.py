"""Statistics of a run: pure functions of its records. Nothing is clipped and nothing is dropped.

The first frame and the cold frames are listed one by one; every other figure is of warm frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tdnet_bench.records import FrameRecord, Record

__all__ = [
    "P99_MIN_SAMPLES",
    "Agreement",
    "Comparison",
    "LatencyStats",
    "LeadInFrame",
    "Ratio",
    "SideSummary",
    "Summary",
    "agreement_stats",
    "latency_stats",
    "ratio_stats",
    "summarise",
]

P99_MIN_SAMPLES = 100
"""Below this a p99 is nothing but the maximum under another name."""

_NS_PER_MS = 1e6


class LatencyStats(Record, frozen=True, kw_only=True):
    """Distribution of some calls; percentiles interpolate linearly between neighbours.

    Attributes:
        samples: number of calls.
        p99_ms: None below `P99_MIN_SAMPLES` samples.
    """

    samples: int
    p50_ms: float
    p95_ms: float
    p99_ms: float | None
    max_ms: float
    mean_ms: float
    min_ms: float


class LeadInFrame(Record, frozen=True, kw_only=True):
    """A frame that is kept out of the statistics: the stream's first one, or a cold one."""

    frame: int
    path: int
    cold: bool
    host_call_ms: float


class SideSummary(Record, frozen=True, kw_only=True):
    """One side's latency.

    Attributes:
        lead_in: first and cold frames, in their order.
        overall: of all warm frames; None where there were none.
        by_path: of the warm frames of each path that has any.
    """

    lead_in: tuple[LeadInFrame, ...]
    overall: LatencyStats | None
    by_path: dict[int, LatencyStats]


class Ratio(Record, frozen=True, kw_only=True):
    """A side's time over the baseline's on the same warm frames; below 1 the side is faster.

    Attributes:
        pairs: frames that both sides have.
        of_p50s: p50 over p50.
        median_of_pairs: median of each frame's own ratio.
    """

    pairs: int
    of_p50s: float
    median_of_pairs: float


class Agreement(Record, frozen=True, kw_only=True):
    """Share (0 to 1) of pixels with the baseline's label, over all frames of the stream.

    Attributes:
        frames: compared, first and cold ones included.
        mean: over frames.
        worst: the lowest of a frame.
        worst_frame: that frame's index.
    """

    frames: int
    mean: float
    worst: float
    worst_frame: int


class Comparison(Record, frozen=True, kw_only=True):
    """One side against another on the same frames of one run; fields are None where not measured."""

    side: str
    baseline: str
    overall: Ratio | None
    by_path: dict[int, Ratio]
    agreement: Agreement | None
    agreement_by_path: dict[int, Agreement]


class Summary(Record, frozen=True, kw_only=True):
    """All figures of a run: each side's own, and each further side against the baseline."""

    sides: dict[str, SideSummary]
    comparisons: tuple[Comparison, ...]


def latency_stats(host_call_ns: Sequence[int]) -> LatencyStats:
    """Distribution of `host_call_ns`.

    Raises:
        ValueError: no samples.
    """
    if not host_call_ns:
        raise ValueError("latency_stats needs at least one sample")
    values = np.asarray(host_call_ns, dtype=np.float64) / _NS_PER_MS
    p50, p95, p99 = np.percentile(values, (50, 95, 99), method="linear").tolist()
    return LatencyStats(
        samples=len(values),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99 if len(values) >= P99_MIN_SAMPLES else None,
        max_ms=float(values.max()),
        mean_ms=float(values.mean()),
        min_ms=float(values.min()),
    )


def ratio_stats(side: Iterable[FrameRecord], baseline: Iterable[FrameRecord]) -> Ratio | None:
    """`side` over `baseline` on the frames that both have; None where there are none."""
    ours = {record.frame: record.host_call_ns for record in side}
    theirs = {record.frame: record.host_call_ns for record in baseline}
    shared = sorted(ours.keys() & theirs.keys())
    if not shared:
        return None
    numerator = np.asarray([ours[frame] for frame in shared], dtype=np.float64)
    denominator = np.asarray([theirs[frame] for frame in shared], dtype=np.float64)
    return Ratio(
        pairs=len(shared),
        of_p50s=float(np.median(numerator) / np.median(denominator)),
        median_of_pairs=float(np.median(numerator / denominator)),
    )


def agreement_stats(records: Iterable[FrameRecord]) -> Agreement | None:
    """Agreement over those of `records` that carry one; None where none does."""
    shares = [(record.agreement, record.frame) for record in records if record.agreement is not None]
    if not shares:
        return None
    worst, worst_frame = min(shares)
    mean = float(np.mean([share for share, _ in shares]))
    return Agreement(frames=len(shares), mean=mean, worst=worst, worst_frame=worst_frame)


def summarise(records: Sequence[FrameRecord], *, baseline: str) -> Summary:
    """All figures of a run.

    Args:
        records: of all sides, in any order.
        baseline: the side that the others are compared with; there is no comparison without it.
    """
    by_side: dict[str, list[FrameRecord]] = {}
    for record in sorted(records, key=lambda record: record.frame):
        by_side.setdefault(record.side, []).append(record)
    others = [side for side in by_side if side != baseline] if baseline in by_side else []
    return Summary(
        sides={side: _side_summary(of_side) for side, of_side in by_side.items()},
        comparisons=tuple(_comparison(by_side, side, baseline) for side in others),
    )


def _is_warm(record: FrameRecord) -> bool:
    return not record.cold and record.frame > 0


def _side_summary(records: Sequence[FrameRecord]) -> SideSummary:
    warm = [record for record in records if _is_warm(record)]
    lead_in = tuple(
        LeadInFrame(
            frame=record.frame,
            path=record.path,
            cold=record.cold,
            host_call_ms=record.host_call_ns / _NS_PER_MS,
        )
        for record in records
        if not _is_warm(record)
    )
    return SideSummary(
        lead_in=lead_in,
        overall=latency_stats([record.host_call_ns for record in warm]) if warm else None,
        by_path={
            path: latency_stats([record.host_call_ns for record in of_path])
            for path, of_path in _by_path(warm).items()
        },
    )


def _comparison(by_side: dict[str, list[FrameRecord]], side: str, baseline: str) -> Comparison:
    ours, theirs = ([r for r in by_side[name] if _is_warm(r)] for name in (side, baseline))
    ratios = {path: ratio_stats(of_path, theirs) for path, of_path in _by_path(ours).items()}
    shares = {path: agreement_stats(of_path) for path, of_path in _by_path(by_side[side]).items()}
    return Comparison(
        side=side,
        baseline=baseline,
        overall=ratio_stats(ours, theirs),
        by_path={path: ratio for path, ratio in ratios.items() if ratio is not None},
        agreement=agreement_stats(by_side[side]),
        agreement_by_path={path: share for path, share in shares.items() if share is not None},
    )


def _by_path(records: Iterable[FrameRecord]) -> dict[int, list[FrameRecord]]:
    grouped: dict[int, list[FrameRecord]] = {}
    for record in records:
        grouped.setdefault(record.path, []).append(record)
    return dict(sorted(grouped.items()))
