"""What a reader meets first: a row for each network and machine, the fastest way to run it in each precision."""

from __future__ import annotations

from tdnet_bench.published.markdown import (
    Link,
    agreement_cell,
    file_cell,
    markdown_table,
    network_cell,
    p50_cell,
    size_cell,
    with_notes,
)
from tdnet_bench.published.results import Result, Results
from tdnet_bench.published.speed_tables import times_faster
from tdnet_bench.records.config import PYTORCH
from tdnet_bench.views.formats import ABSENT

__all__ = ["headline_table"]

_PRECISIONS = {"FP32": ("fp32",), "BF16": ("bf16",), "INT8": ("int8", "int8-bf16")}
"""By column, the precisions of the sides that it is the fastest of."""

_COLUMNS = ("network", "input", "machine", "eager PyTorch", *_PRECISIONS, "file")


def headline_table(results: Results, link: Link) -> str | None:
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
            network_cell(result),
            size_cell(result),
            machine,
            p50_cell(result, PYTORCH),
            *(_fastest(result, precisions) for precisions in _PRECISIONS.values()),
            file_cell(result, link),
        )
        for _, machine, result in found
    ]
    return with_notes(markdown_table(_COLUMNS, rows), [result for _, _, result in found])


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
    return " · ".join((p50_cell(result, side), faster, agreement_cell(result, side), side))
