"""What the charts show, taken from the records: pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tdnet_bench.documents.document import Document
from tdnet_bench.records.frames import FrameRecord, PacedRecord
from tdnet_bench.statistics.latency import NS_PER_MS
from tdnet_bench.statistics.paced import arrival_ns
from tdnet_bench.statistics.summary import is_warm

__all__ = ["PacedSeries", "Points", "RatioRow", "SideSeries", "paced_series", "ratio_rows", "side_series"]


@dataclass(frozen=True, slots=True)
class Points:
    """Points of a chart, in the order of `x`."""

    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SideSeries:
    """Host calls of one side, back to back: x is the frame, y milliseconds.

    Attributes:
        side: its name.
        warm: by path, the paths in their order.
        kept_apart: the first frame and the cold ones.
    """

    side: str
    warm: dict[int, Points]
    kept_apart: Points


@dataclass(frozen=True, slots=True, kw_only=True)
class PacedSeries:
    """Latencies of one paced stream: x is the arrival in seconds, y milliseconds to usable labels.

    Attributes:
        fps: of the arrivals.
        period_ms: what a latency above is a missed deadline of.
        met: warm frames whose labels came before the next arrival.
        missed: the other warm ones.
        kept_apart: the first frame and the cold ones.
        dropped_s: arrivals, between the first and the last warm frame, that were never processed.
    """

    fps: float
    period_ms: float
    met: Points
    missed: Points
    kept_apart: Points
    dropped_s: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioRow:
    """One comparison in the chart of ratios.

    Attributes:
        label: `side over baseline`.
        overall: median over the pairs of all paths.
        low: end of its interval; None where there is none.
        high: see `low`.
        by_path: the median of each path; empty for a single one.
    """

    label: str
    overall: float
    low: float | None
    high: float | None
    by_path: dict[int, float]


def side_series(document: Document) -> tuple[SideSeries, ...]:
    """Of all sides that have records, in the document's order."""
    by_side: dict[str, list[FrameRecord]] = {side: [] for side in document.sides}
    for record in document.records:
        if isinstance(record, FrameRecord):
            by_side[record.side].append(record)
    return tuple(_of_side(side, records) for side, records in by_side.items() if records)


def paced_series(document: Document) -> tuple[PacedSeries, ...]:
    """Of all rates in the summary, in its order."""
    records = [record for record in document.records if isinstance(record, PacedRecord)]
    return tuple(
        _of_rate([record for record in records if record.fps == rate.fps]) for rate in document.summary.paced
    )


def ratio_rows(document: Document) -> tuple[RatioRow, ...]:
    """Of all comparisons that have frames in common, in the document's order."""
    return tuple(
        RatioRow(
            label=f"{comparison.side} over {comparison.baseline}",
            overall=comparison.overall.median_of_pairs,
            low=comparison.overall.low,
            high=comparison.overall.high,
            by_path={path: ratio.median_of_pairs for path, ratio in comparison.by_path.items()}
            if len(comparison.by_path) > 1
            else {},
        )
        for comparison in document.summary.comparisons
        if comparison.overall is not None
    )


def _of_side(side: str, records: Sequence[FrameRecord]) -> SideSeries:
    ordered = sorted(records, key=lambda record: record.frame)
    warm = [record for record in ordered if is_warm(record)]
    paths = sorted({record.path for record in warm})
    return SideSeries(
        side=side,
        warm={path: _frame_points([record for record in warm if record.path == path]) for path in paths},
        kept_apart=_frame_points([record for record in ordered if not is_warm(record)]),
    )


def _frame_points(records: Sequence[FrameRecord]) -> Points:
    return Points(
        tuple(float(record.frame) for record in records),
        tuple(record.host_call_ns / NS_PER_MS for record in records),
    )


def _of_rate(records: Sequence[PacedRecord]) -> PacedSeries:
    ordered = sorted(records, key=lambda record: record.frame)
    warm = [record for record in ordered if not record.cold and record.push > 0]
    fps = warm[0].fps  # a rate without a warm frame has no summary
    late = [record for record in warm if record.done_ns > arrival_ns(record.frame + 1, fps)]
    processed = {record.frame for record in warm}
    dropped = set(range(warm[0].frame, warm[-1].frame)) - processed
    return PacedSeries(
        fps=fps,
        period_ms=1e3 / fps,
        met=_arrival_points([record for record in warm if record not in late]),
        missed=_arrival_points(late),
        kept_apart=_arrival_points([record for record in ordered if record not in warm]),
        dropped_s=tuple(frame / fps for frame in sorted(dropped)),
    )


def _arrival_points(records: Sequence[PacedRecord]) -> Points:
    return Points(
        tuple(record.arrival_ns / 1e9 for record in records),
        tuple((record.done_ns - record.arrival_ns) / NS_PER_MS for record in records),
    )
