"""How fast: bundle sides beside eager PyTorch at the networks' own sizes, and over all sizes."""

from __future__ import annotations

from collections.abc import Iterator

from tdnet_bench.published.markdown import (
    Link,
    agreement_cell,
    file_cell,
    markdown_table,
    network_cell,
    number,
    p50_cell,
    size_cell,
    with_notes,
)
from tdnet_bench.published.results import Machine, Result
from tdnet_bench.records.config import PYTORCH
from tdnet_bench.statistics.ratios import CONFIDENCE, Ratio
from tdnet_bench.views.formats import ABSENT, format_percent

__all__ = ["sizes_table", "speed_table", "times_faster"]

_SPEED_COLUMNS = (
    "network",
    "input",
    "bundle on",
    "p50",
    "eager PyTorch, p50",
    f"faster by ({100 * CONFIDENCE:.0f} % interval)",
    "labels equal",
    "features off",
    "file",
)


def speed_table(machine: Machine, link: Link) -> str | None:
    """A row for each bundle side that was compared with eager PyTorch, at the networks' own sizes."""
    by_result = [
        (result, list(_speed_rows(result, link))) for result in machine.speed if not result.is_approximate
    ]
    rows = [row for _, rows in by_result for row in rows]
    if not rows:
        return None
    return with_notes(markdown_table(_SPEED_COLUMNS, rows), [result for result, rows in by_result if rows])


def _speed_rows(result: Result, link: Link) -> Iterator[tuple[str, ...]]:
    for side, ratio in result.ratios_to_pytorch.items():
        features = result.document.features.get(side)
        yield (
            network_cell(result),
            size_cell(result),
            side,
            p50_cell(result, side),
            p50_cell(result, PYTORCH),
            times_faster(ratio),
            agreement_cell(result, side),
            ABSENT if features is None else f"{format_percent(features.worst)} %",
            file_cell(result, link),
        )


def times_faster(ratio: Ratio, *, interval: bool = True) -> str:
    """How many times the side is faster than its baseline: the ratio of their times upside down, ends exchanged."""
    text = f"{number(1 / ratio.median_of_pairs)}×"
    if not interval or ratio.low is None or ratio.high is None:
        return text
    return f"{text} ({number(1 / ratio.high)} to {number(1 / ratio.low)})"


def sizes_table(machine: Machine, link: Link) -> str | None:
    """A row for each document: p50 of eager PyTorch and of each bundle side, with its labels' agreement."""
    if not machine.speed:
        return None
    sides = sorted({side for result in machine.speed for side in result.bundle_sides})
    rows = [
        (
            network_cell(result),
            size_cell(result),
            p50_cell(result, PYTORCH),
            *(_size_entry(result, side) for side in sides),
            file_cell(result, link),
        )
        for result in machine.speed
    ]
    return with_notes(
        markdown_table(("network", "input", "eager PyTorch", *sides, "file"), rows), machine.speed
    )


def _size_entry(result: Result, side: str) -> str:
    p50, agreement = p50_cell(result, side), agreement_cell(result, side)
    return p50 if agreement == ABSENT else f"{p50} · {agreement}"
