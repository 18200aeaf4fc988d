"""How fast: bundle sides beside eager PyTorch at the networks' own sizes, over all sizes, and the fastest ones."""

from __future__ import annotations

from collections.abc import Iterator

from tdnet_bench.published import markdown as md
from tdnet_bench.published.results import Machine, Result, Results
from tdnet_bench.records.config import PYTORCH
from tdnet_bench.statistics.ratios import CONFIDENCE, Ratio
from tdnet_bench.views.formats import ABSENT, format_percent
from tdnet_runtime.preflight import SIGNED_INT8

__all__ = ["headline_table", "sizes_table", "speed_table", "times_faster"]

_SPEED_COLUMNS = (
    "network", "input", "bundle on", "p50", "eager PyTorch, p50", f"faster by ({100 * CONFIDENCE:.0f} % interval)",
    "labels equal", "features off", "file",
)  # fmt: skip


def speed_table(machine: Machine, link: md.Link) -> str | None:
    """A row for each bundle side that was compared with eager PyTorch, at the networks' own sizes."""
    by_result = [
        (result, list(_speed_rows(result, link))) for result in machine.speed if not result.is_approximate
    ]
    rows = [row for _, rows in by_result for row in rows]
    if not rows:
        return None
    return md.with_notes(
        md.markdown_table(_SPEED_COLUMNS, rows), [result for result, rows in by_result if rows]
    )


def _speed_rows(result: Result, link: md.Link) -> Iterator[tuple[str, ...]]:
    for side, ratio in result.ratios_to_pytorch.items():
        features = result.document.features.get(side)
        yield (
            md.network_cell(result),
            md.size_cell(result),
            side,
            md.p50_cell(result, side),
            md.p50_cell(result, PYTORCH),
            times_faster(ratio),
            md.agreement_cell(result, side),
            ABSENT if features is None else f"{format_percent(features.worst)} %",
            md.file_cell(result, link),
        )


def times_faster(ratio: Ratio, *, interval: bool = True) -> str:
    """How many times the side is faster than its baseline: the ratio of their times upside down, ends exchanged."""
    text = f"{md.number(1 / ratio.median_of_pairs)}×"
    if not interval or ratio.low is None or ratio.high is None:
        return text
    return f"{text} ({md.number(1 / ratio.high)} to {md.number(1 / ratio.low)})"


def sizes_table(machine: Machine, link: md.Link) -> str | None:
    """A row for each document: p50 of eager PyTorch and of each bundle side, with its labels' agreement."""
    if not machine.speed:
        return None
    sides = sorted({side for result in machine.speed for side in result.bundle_sides})
    rows = [
        (
            md.network_cell(result),
            md.size_cell(result),
            md.p50_cell(result, PYTORCH),
            *(_size_entry(result, side) for side in sides),
            md.file_cell(result, link),
        )
        for result in machine.speed
    ]
    return md.with_notes(
        md.markdown_table(("network", "input", "eager PyTorch", *sides, "file"), rows), machine.speed
    )


def _size_entry(result: Result, side: str) -> str:
    p50, agreement = md.p50_cell(result, side), md.agreement_cell(result, side)
    return p50 if agreement == ABSENT else f"{p50} · {agreement}"


_PRECISIONS = {"FP32": ("fp32",), "BF16": ("bf16",), "INT8": ("int8", "int8-bf16", SIGNED_INT8)}
"""By column, the precisions of the sides that it is the fastest of."""

_COLUMNS = ("network", "input", "machine", "eager PyTorch", *_PRECISIONS, "file")


def headline_table(results: Results, link: md.Link) -> str | None:
    """Networks at their own sizes that were measured beside eager PyTorch; None without any."""
    found = [
        (result.network, machine.name, result)
        for machine in results.machines
        for result in machine.speed
        if not result.is_approximate and result.ratios_to_pytorch
    ]
    if not found:
        return None
    found.sort(key=lambda entry: entry[:2])
    rows = [
        (
            md.network_cell(result),
            md.size_cell(result),
            machine,
            md.p50_cell(result, PYTORCH),
            *(_fastest(result, precisions) for precisions in _PRECISIONS.values()),
            md.file_cell(result, link),
        )
        for _, machine, result in found
    ]
    return md.with_notes(md.markdown_table(_COLUMNS, rows), [result for _, _, result in found])


def _fastest(result: Result, precisions: tuple[str, ...]) -> str:
    """p50, times as fast as PyTorch, labels that are its own, and the side."""
    sides = result.document.sides
    ratios = {
        side: ratio for side, ratio in result.ratios_to_pytorch.items() if sides[side].precision in precisions
    }
    if not ratios:
        return ABSENT
    side = min(ratios, key=lambda name: ratios[name].median_of_pairs)
    faster = f"**{times_faster(ratios[side], interval=False)}**"
    return " · ".join((md.p50_cell(result, side), faster, md.agreement_cell(result, side), side))
