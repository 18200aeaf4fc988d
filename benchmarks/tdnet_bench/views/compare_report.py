"""Two compared runs for the eye."""

from __future__ import annotations

from rich.console import Group
from rich.text import Text

from tdnet_bench.documents.compare import ComparedRuns
from tdnet_bench.statistics.ratios import CONFIDENCE
from tdnet_bench.views.formats import format_interval, format_ratio
from tdnet_bench.views.report import named
from tdnet_bench.views.tables import ALL, ratio_cells, table

__all__ = ["report_from_comparison"]


def report_from_comparison(compared: ComparedRuns) -> Group:
    """The ratios, and what else was different."""
    title = f"Host call of {compared.side} (first run) over {compared.baseline} (second run)"
    made = table(title, "<path", "frames", "frames", "p50 / p50", f"{CONFIDENCE:.0%} interval")
    for path, ratio in compared.by_path.items() if len(compared.by_path) > 1 else ():
        made.add_row(str(path), *ratio_cells(ratio))
    made.add_row(ALL, *ratio_cells(compared.overall))
    differences = [(name, f"{ours}  |  {theirs}") for name, ours, theirs in compared.differences]
    return Group(
        made,
        Text("What else is different (first | second)", style="bold"),
        named(differences or [("", "nothing that is written down")]),
        Text(""),
        Text(_verdict(compared), style="bold"),
    )


def _verdict(compared: ComparedRuns) -> str:
    ratio = compared.overall
    if ratio is None:
        return "A run has no warm frame: there is nothing to compare."
    interval = format_interval(ratio.low, ratio.high)
    return (
        f"A frame of the first run takes {format_ratio(ratio.of_p50s)} of the second's time ({interval}); the "
        "interval does not cover what changes from run to run."
    )
