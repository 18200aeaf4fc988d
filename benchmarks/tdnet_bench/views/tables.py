"""The figures of a run as Rich tables of at most 80 columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from rich import box
from rich.table import Table
from rich.text import Text

from tdnet_bench.documents.document import Document
from tdnet_bench.roofline.model import Roofline
from tdnet_bench.statistics.latency import LatencyStats
from tdnet_bench.statistics.paced import PacedSummary
from tdnet_bench.statistics.ratios import CONFIDENCE, Ratio, UnpairedRatio
from tdnet_bench.statistics.summary import CameraSummary, Comparison, SideSummary
from tdnet_bench.views.formats import (
    ABSENT,
    format_interval,
    format_ms,
    format_percent,
    format_ratio,
    format_share,
)
from tdnet_runtime.extras import one_line

__all__ = [
    "ALL", "camera_table", "class_table", "comparison_table", "host_call_table", "paced_table", "quality_table",
    "ratio_cells", "roofline_table", "table",
]  # fmt: skip

_S = TypeVar("_S")
ALL = "all"
_FIGURES = ("p50", "p90", "p95", "p99", "max", "mean")


def table(title: str, *columns: str) -> Table:
    """An empty table; a column whose name starts with '<' is aligned to the left."""
    made = Table(
        title=Text(one_line(title)),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for column in columns:
        left = column.startswith("<")
        made.add_column(
            Text(column.removeprefix("<"), overflow="fold"), justify="left" if left else "right", no_wrap=True
        )
    return made


def host_call_table(side: str, summary: SideSummary) -> Table:
    """One side's warm frames, back to back."""
    made = table(f"{side}: ms per warm frame, back to back", "<clock", "<path", "frames", *_FIGURES)
    rows = [("host call", summary.by_path, summary.overall)]
    if summary.device is not None:
        rows.append(("device", summary.device_by_path, summary.device))
    for clock, by_path, overall in rows:
        _add_paths(made, clock, by_path, overall, _latency_cells)
    return made


def camera_table(side: str, summary: CameraSummary) -> Table:
    """One side's warm frames of a file."""
    made = table(f"{side}: ms per warm frame, camera to mask", "<clock", "<path", "frames", *_FIGURES)
    _add_paths(made, "whole", summary.by_path, summary.overall, _latency_cells)
    made.add_row("decode", ALL, *_latency_cells(summary.decode))
    made.add_row("push", ALL, *_latency_cells(summary.push))
    return made


def paced_table(side: str, paced: Sequence[PacedSummary]) -> Table:
    """The subject at each rate."""
    columns = ("fps", "masks", "missed", "dropped", "p50", "p95", "max", "jitter", "max gap")
    made = table(f"{side}: paced, from arrival to labels, ms", *columns)
    for rate in paced:
        made.add_row(
            f"{rate.fps:g}",
            str(rate.processed),
            str(rate.missed),
            str(rate.dropped),
            *map(format_ms, (rate.latency.p50_ms, rate.latency.p95_ms, rate.latency.max_ms)),
            *(map(format_ms, (rate.gaps.jitter_ms, rate.gaps.longest_ms)) if rate.gaps else (ABSENT, ABSENT)),
        )
    return made


def comparison_table(side: str, comparisons: Sequence[Comparison]) -> Table:
    """One side's host call over others'."""
    title = f"{side}: its host call over another's on the same frame"
    made = table(title, "<over", "<path", "pairs", "median ratio", f"{CONFIDENCE:.0%} interval", "p50 / p50")
    for comparison in comparisons:
        _add_paths(made, comparison.baseline, comparison.by_path, comparison.overall, ratio_cells)
    return made


def _add_paths(
    made: Table,
    label: str,
    by_path: Mapping[int, _S],
    overall: _S | None,
    cells: Callable[[_S | None], Iterable[str]],
) -> None:
    """A row for each of several paths, then one for all; the label stands in the first."""
    for path, stats in by_path.items() if len(by_path) > 1 else ():
        made.add_row(label, str(path), *cells(stats))
        label = ""
    made.add_row(label, ALL, *cells(overall), end_section=True)


def ratio_cells(ratio: Ratio | UnpairedRatio | None) -> tuple[str, ...]:
    """Frames, ratio and its interval; of pairs, the ratio of the p50s as well."""
    if ratio is None:
        return ("0", ABSENT, ABSENT, ABSENT)
    interval = format_interval(ratio.low, ratio.high)
    if isinstance(ratio, UnpairedRatio):
        return (str(ratio.samples), str(ratio.baseline_samples), format_ratio(ratio.of_p50s), interval)
    return (str(ratio.pairs), format_ratio(ratio.median_of_pairs), interval, format_ratio(ratio.of_p50s))


def quality_table(document: Document) -> Table:
    """What the labels of each side are worth, over all frames."""
    columns = ["<side", "equal %", "worst %", "frame", "mIoU %", "consistency %"]
    if document.features:
        columns.append("features off %")
    made = table("Labels: equal to the reference's, mIoU, temporal consistency", *columns)
    for side, summary in document.summary.sides.items():
        quality = summary.quality
        agreement, consistency = quality.agreement, quality.temporal_consistency
        is_reference = side == document.config.reference
        made.add_row(
            side,
            "reference" if is_reference else format_share(agreement.mean if agreement else None),
            format_share(agreement.worst if agreement else None),
            str(agreement.worst_frame) if agreement else ABSENT,
            format_percent(quality.accuracy.miou if quality.accuracy else None),
            format_percent(consistency.mean if consistency else None),
            *([_features_cell(document, side)] if document.features else ()),
        )
    return made


def _features_cell(document: Document, side: str) -> str:
    errors = document.features.get(side)
    return ABSENT if errors is None else format_percent(errors.worst)


def class_table(document: Document) -> Table | None:
    """IoU of each class, a column for each side; None where it was not measured."""
    measured = {
        side: summary.quality.accuracy.iou_by_class
        for side, summary in document.summary.sides.items()
        if summary.quality.accuracy is not None
    }
    if not measured:
        return None
    names = [side.replace(":", ":\n").replace("-", "-\n") for side in measured]
    made = table("IoU of each class, %", "<class", *names)
    for index, name in enumerate(document.config.classes):
        made.add_row(Text(one_line(name)), *(format_percent(ious[index]) for ious in measured.values()))
    return made


def _latency_cells(stats: LatencyStats | None) -> Iterator[str]:
    if stats is None:
        yield "0"
        yield from [ABSENT] * len(_FIGURES)
        return
    yield str(stats.samples)
    for name in _FIGURES:
        yield format_ms(getattr(stats, f"{name}_ms"))


def roofline_table(side: str, roofline: Roofline) -> Table:
    """How far each graph of a side is from what the machine can do."""
    columns = ("<graph", "GFLOP", "ms", "GFLOP/s", "attainable", "share", "<bound by")
    made = table(f"{side}: share of the machine's limit ({roofline.library})", *columns)
    for point in roofline.points:
        made.add_row(
            point.name,
            f"{point.gflop:.3g}",
            format_ms(point.time_ms),
            f"{point.reached_gflop_per_s:.3g}",
            f"{point.attainable_gflop_per_s:.3g}",
            f"{point.share:.0%}",
            point.bound,
        )
    return made
