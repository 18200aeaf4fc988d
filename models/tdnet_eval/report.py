"""A document for the eye: Rich tables on a terminal, or Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from tdnet_eval.document import Document
from tdnet_eval.tables import PlainTable, tables_from_document

__all__ = ["markdown_from_document", "markdown_table", "report_from_document"]


def report_from_document(document: Document) -> Group:
    """For a terminal."""
    head = [Text(line) for line in _head(document)]
    return Group(
        *head, *(_rich(table) for table in tables_from_document(document)), *map(Text, _foot(document))
    )


def markdown_from_document(document: Document) -> str:
    """The same as Markdown, with what each figure means."""
    lines = [f"# {document.data.description}", "", *(f"- {line}" for line in _head(document))]
    for table in tables_from_document(document):
        lines += ["", f"## {table.title}", "", markdown_table(table.columns, table.rows, left=table.left)]
    foot = [*_foot(document)]
    lines += ["", *(f"- {line}" for line in foot)] if foot else []
    lines += ["", f"Made by `{document.command}`.", ""]
    lines += [*(f"- **{name}**: {meaning}" for name, meaning in document.definitions.items())]
    return "\n".join(lines) + "\n"


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, left: int) -> str:
    """A Markdown table whose first `left` columns are aligned to the left. No line end after the last row."""
    rule = "|" + "|".join("---" if index < left else "---:" for index, _ in enumerate(columns)) + "|"
    return "\n".join([_line(columns), rule, *map(_line, rows)])


def _head(document: Document) -> Iterator[str]:
    yield f"{document.data.description}; tdnet-eval {document.version}, {document.started_at}"
    for name, side in document.sides.items():
        size = f"{side.size_hw[0]}x{side.size_hw[1]}" + (
            "" if side.size_is == "exact" else f" ({side.size_is})"
        )
        yield f"{name}: {side.network} at {size}, {side.engine}, {side.file} (SHA-256 {side.sha256[:12]})"


def _foot(document: Document) -> Iterator[str]:
    for left in document.left_out:
        yield f"left out {left.what}: {left.reason}"
    yield from document.notes


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _rich(table: PlainTable) -> Table:
    made = Table(
        title=Text(table.title),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for index, column in enumerate(table.columns):
        made.add_column(Text(column), justify="left" if index < table.left else "right", overflow="fold")
    for row in table.rows:
        made.add_row(*map(Text, row))
    return made
