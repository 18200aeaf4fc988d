"""What the tables have in common: figures as text, marks, and the lines below."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from tdnet_bench.machine.environment import BUSY_SHARE
from tdnet_bench.published.results import Result
from tdnet_bench.records.config import PYTORCH
from tdnet_bench.views.formats import ABSENT, format_percent

__all__ = [
    "BUSY", "Link", "agreement_cell", "file_cell", "markdown_table", "network_cell", "number", "p50_cell",
    "share_cell", "size_cell", "with_notes",
]  # fmt: skip

Link: TypeAlias = Callable[[Path], str]
"""From a file's path to the target of a link to it."""

BUSY, APPROXIMATE = "†", "‡"
"""Marks of a row; `with_notes` says what they mean."""


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; every row has a cell for each column. No line end after the last row."""
    lines = [_line(columns), "|" + "---|" * len(columns)]
    return "\n".join([*lines, *(_line(row) for row in rows)])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def with_notes(made: str, results: Sequence[Result]) -> str:
    """A table, and below it where its figures come from and what its marks mean."""
    notes = [f"Measured on {'; '.join(_places(results))}."]
    busy = f"{BUSY} other programs ran beside it, on more than {100 * BUSY_SHARE:.0f} % of the cores."
    resampled = (
        f"{APPROXIMATE} an approximation: the LayerNorm maps are resampled from the network's own size."
    )
    notes += [busy] if any(result.is_busy for result in results) else []
    notes += [resampled] if any(result.is_approximate for result in results) else []
    return "\n\n".join([made, *notes])


def _places(results: Sequence[Result]) -> Iterator[str]:
    """Each machine once, with all versions that ran on it and the first and the last day."""
    grouped: dict[str, list[Result]] = {}
    for result in results:
        grouped.setdefault(_processor(result), []).append(result)
    for processor, of_one in sorted(grouped.items()):
        versions = {
            result.document.sides[side].description.partition(",")[0]
            for result in of_one
            for side in result.compared_sides
        }
        days = sorted({result.document.environment.started_at[:10] for result in of_one})
        dates = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
        yield f"{processor}, with {', '.join(sorted(versions))} on {dates}"


def _processor(result: Result) -> str:
    environment = result.document.environment
    flags = f" ({', '.join(environment.cpu_flags)})" if environment.cpu_flags else ""
    gpus = "".join(f" and {gpu.name}" for gpu in environment.gpus)
    cores = f"{environment.usable_cores} cores of {environment.cpu or 'an unknown CPU'}{flags}"
    return f"{cores}{gpus}, {result.document.config.threads} threads"


def network_cell(result: Result) -> str:
    """Name of the network, marked where other programs ran beside it."""
    return f"{result.network} {BUSY}" if result.is_busy else result.network


def size_cell(result: Result) -> str:
    """Size of the input, marked where the network is an approximation at that size."""
    size = f"{result.document.config.height}×{result.document.config.width}"
    return f"{size} {APPROXIMATE}" if result.is_approximate else size


def file_cell(result: Result, link: Link) -> str:
    """A link to the document."""
    return f"[json]({link(result.path)})"


def p50_cell(result: Result, side: str) -> str:
    """p50 of a side's host call."""
    figures = result.document.summary.sides.get(side)
    if figures is None or figures.overall is None:
        return ABSENT
    return f"{number(figures.overall.p50_ms)} ms"


def agreement_cell(result: Result, side: str, *, worst: bool = False) -> str:
    """Share of a side's labels that are eager PyTorch's: mean over the frames, or of the worst one."""
    figures = result.document.summary.sides.get(side)
    if result.document.config.reference != PYTORCH or figures is None or figures.quality.agreement is None:
        return ABSENT
    agreement = figures.quality.agreement
    return share_cell(agreement.worst if worst else agreement.mean)


def share_cell(share: float) -> str:
    """A share (0 to 1) in per cent with two decimals; 100.00 only where it is all of them."""
    text = format_percent(share)
    return f"{'>99.99' if text == '100.00' and share < 1 else text} %"


def number(value: float) -> str:
    """Three digits; whole numbers from 100 on."""
    if value >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
