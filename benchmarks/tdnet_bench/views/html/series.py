"""What the charts show, taken from the records: pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tdnet_bench.documents.document import Document
from tdnet_bench.records.frames import FrameRecord, PacedRecord
from tdnet_bench.statistics.latency import NS_PER_MS
from tdnet_bench.statistics.paced import arrival_ns
from tdnet_bench.statistics.summary import is_warm

__all__ = ["PacedSeries", "Points", "RatioRow", "SideSeries", "paced_series", "ratio_rows", "side_series"]


class Points(NamedTuple):
    """Points of a chart, in the order of `x`."""

    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()


class SideSeries(NamedTuple):
    """Host calls of one side, back to back (x frame, y ms): warm ones by path, and the first and cold ones apart."""

    side: str
    warm: dict[int, Points]
    kept_apart: Points


class PacedSeries(NamedTuple):
    """Latencies of one paced stream (x arrival in s, y ms to usable labels), and arrivals that were never processed.

    `met` and `missed` are the warm frames whose labels came before and after the next arrival.
    """

    fps: float
    period_ms: float
    met: Points
    missed: Points
    kept_apart: Points
    dropped_s: tuple[float, ...]


class RatioRow(NamedTuple):
    """One comparison: the median over the pairs of all paths with its interval, if any; of each of several paths."""

    label: str
    overall: float
    low: float | None
    high: float | None
    by_path: dict[int, float]


def side_series(document: Document) -> tuple[SideSeries, ...]:
    """Of all sides that have records, in the document's order."""
    by_side: dict[str, list[FrameRecord]] = {side: [] for side in document.sides}
    for record in sorted((r for r in document.records if isinstance(r, FrameRecord)), key=lambda r: r.frame):
        by_side[record.side].append(record)
    found = []
    for side, records in by_side.items():
        warm = [record for record in records if is_warm(record)]
        by_path = {path: [r for r in warm if r.path == path] for path in sorted({r.path for r in warm})}
        apart = _frame_points([record for record in records if not is_warm(record)])
        if records:
            found.append(
                SideSeries(side, {p: _frame_points(of_path) for p, of_path in by_path.items()}, apart)
            )
    return tuple(found)


def paced_series(document: Document) -> tuple[PacedSeries, ...]:
    """Of all rates in the summary, in its order."""
    records = sorted((r for r in document.records if isinstance(r, PacedRecord)), key=lambda r: r.frame)
    return tuple(_of_rate([r for r in records if r.fps == rate.fps]) for rate in document.summary.paced)


def ratio_rows(document: Document) -> tuple[RatioRow, ...]:
    """Of all comparisons that have frames in common, in the document's order."""
    found = []
    for comparison in document.summary.comparisons:
        ratio, by_path = comparison.overall, comparison.by_path if len(comparison.by_path) > 1 else {}
        if ratio is not None:
            label = f"{comparison.side} over {comparison.baseline}"
            paths = {path: of_path.median_of_pairs for path, of_path in by_path.items()}
            found.append(RatioRow(label, ratio.median_of_pairs, ratio.low, ratio.high, paths))
    return tuple(found)


def _frame_points(records: Sequence[FrameRecord]) -> Points:
    return Points(tuple(float(r.frame) for r in records), tuple(r.host_call_ns / NS_PER_MS for r in records))


def _of_rate(records: Sequence[PacedRecord]) -> PacedSeries:
    warm = [record for record in records if not record.cold and record.push > 0]
    fps = warm[0].fps  # a rate without a warm frame has no summary
    late = [record for record in warm if record.done_ns > arrival_ns(record.frame + 1, fps)]
    dropped = set(range(warm[0].frame, warm[-1].frame)) - {record.frame for record in warm}
    return PacedSeries(
        fps=fps,
        period_ms=1e3 / fps,
        met=_arrival_points([record for record in warm if record not in late]),
        missed=_arrival_points(late),
        kept_apart=_arrival_points([record for record in records if record not in warm]),
        dropped_s=tuple(frame / fps for frame in sorted(dropped)),
    )


def _arrival_points(records: Sequence[PacedRecord]) -> Points:
    latencies_ms = tuple((r.done_ns - r.arrival_ns) / NS_PER_MS for r in records)
    return Points(tuple(r.arrival_ns / 1e9 for r in records), latencies_ms)
