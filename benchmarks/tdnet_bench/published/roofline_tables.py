"""How far from the limit: each kind of graph against what the machine was measured to do."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tdnet_bench.published import markdown as md
from tdnet_bench.published.results import Machine, Result
from tdnet_bench.roofline.model import Roofline
from tdnet_bench.views.formats import ABSENT

__all__ = ["roofline_table"]

_KINDS = {"subnet": "sub-networks", "apm": "APMs"}
_BYTES_PER_MIB = 1 << 20


def roofline_table(machine: Machine, link: md.Link) -> str | None:
    """A row for each side with a roofline, then a table of the ceilings."""
    results = [result for result in machine.speed if result.document.rooflines]
    if not results:
        return None
    points = [
        p for result in results for roofline in result.document.rooflines.values() for p in roofline.points
    ]
    kinds = list(dict.fromkeys(_kind(point.name) for point in points))
    rows = [
        (
            md.network_cell(result),
            md.size_cell(result),
            side,
            *(_share_range(roofline, kind) for kind in kinds),
            md.file_cell(result, link),
        )
        for result in results
        for side, roofline in result.document.rooflines.items()
    ]
    shares = md.markdown_table(("network", "input", "side", *kinds, "file"), rows)
    return md.with_notes(f"{shares}\n\n{_ceilings_table(results)}", results)


def _kind(graph: str) -> str:
    """What a graph is, whatever its path."""
    found = re.fullmatch(r"(subnet|apm)\d+", graph)
    return _KINDS[found[1]] if found else graph


def _share_range(roofline: Roofline, kind: str) -> str:
    shares = [100 * point.share for point in roofline.points if _kind(point.name) == kind]
    if not shares:
        return ABSENT
    low, high = f"{min(shares):.0f}", f"{max(shares):.0f}"
    return f"{low} %" if low == high else f"{low}–{high} %"


def _ceilings_table(results: Sequence[Result]) -> str:
    """What the machine can do, as every one of the documents found it."""
    found: dict[tuple[str, str], list[tuple[float, bool]]] = {}
    for result in results:
        ceilings = result.document.ceilings
        if ceilings is None:
            continue
        for compute in ceilings.compute:
            name = f"{compute.library} {compute.precision}"
            found.setdefault((name, "GOP/s"), []).append((compute.gflop_per_s, result.is_busy))
        for copy in ceilings.copies:
            name = f"copying, {copy.footprint_bytes / _BYTES_PER_MIB:g} MiB read and written"
            found.setdefault((name, "GB/s"), []).append((copy.gb_per_s, result.is_busy))
    rows = [
        (f"{name} {md.BUSY}" if any(busy for _, busy in rates) else name, _range([r for r, _ in rates], unit))
        for (name, unit), rates in found.items()
    ]
    return md.markdown_table(("ceiling", "measured"), rows)


def _range(rates: Sequence[float], unit: str) -> str:
    low, high = md.number(min(rates)), md.number(max(rates))
    return f"{low} {unit}" if low == high else f"{low}–{high} {unit}"
