"""The doctor's findings as tables: what is wrong is said in words, and again at the end."""

from __future__ import annotations

from itertools import groupby

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from tdnet_runtime.doctor.findings import Finding, Report, State
from tdnet_runtime.extras import one_line

__all__ = ["show_report"]

_WORDS = {
    State.OK: ("ok", "green"),
    State.NOTE: ("", ""),
    State.ABSENT: ("-", ""),
    State.WARNING: ("WARNING", "bold yellow"),
    State.BROKEN: ("BROKEN", "bold red"),
}


_LONG_WORD = 40


def show_report(report: Report, console: Console | None = None) -> None:
    """Print all findings, by section, and a summary."""
    console = console or Console(markup=False, highlight=False, emoji=False)
    console.print(f"tdnet-deploy {report.toolkit}, Python {report.python}, {report.platform}")
    for section, findings in groupby(report.findings, key=lambda finding: finding.section):
        console.print()
        console.print(section, style="bold")
        tabular: list[Finding] = []
        words: list[Finding] = []
        for finding in findings:  # a digest is copied as one word
            (words if " " not in finding.text and len(finding.text) > _LONG_WORD else tabular).append(finding)
        console.print(Padding(_table(tabular), (0, 0, 0, 2), expand=False))
        for finding in words:
            console.print(f"  {one_line(finding.name)}: {one_line(finding.text)}", soft_wrap=True)
    console.print()
    counts = [
        f"{count} {word}"
        for state, word in ((State.BROKEN, "broken"), (State.WARNING, "to be looked at"))
        if (count := sum(finding.state is state for finding in report.findings))
    ]
    console.print(", ".join(counts) if counts else "nothing is broken")


def _table(findings: list[Finding]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(overflow="fold", max_width=28)
    table.add_column(overflow="fold")
    for finding in findings:
        word, style = _WORDS[finding.state]
        table.add_row(
            word, one_line(finding.name), one_line(finding.text), style=style if word.isupper() else ""
        )
        if finding.fix and finding.fix not in finding.text:
            table.add_row("", "", f"> {one_line(finding.fix)}")
    return table
