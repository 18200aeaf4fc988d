"""Reads Markdown tables as a reader would."""

from __future__ import annotations

from pathlib import Path

__all__ = ["link", "tables_of"]


def link(path: Path) -> str:
    """A short target for a link."""
    return path.name


def tables_of(markdown: str | None) -> list[list[dict[str, str]]]:
    """All tables, their rows by column; every row has as many cells as there are columns."""
    assert markdown is not None
    tables: list[list[dict[str, str]]] = []
    columns: list[str] = []
    for line in markdown.splitlines():
        if not line.startswith("|"):
            columns = []
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not columns:
            columns = cells
            tables.append([])
        elif set("".join(cells)) == {"-"}:
            assert len(cells) == len(columns)
        else:
            tables[-1].append(dict(zip(columns, cells, strict=True)))
    return tables
