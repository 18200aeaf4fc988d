"""The form of what `tdnet-inspect` shows: titled tables without colours that mean anything."""

from __future__ import annotations

from rich import box
from rich.table import Table

__all__ = ["Section", "readable_size", "section_table"]

Section = tuple[str, Table, str]
"""Title, table (without columns: none), note."""


def section_table(*columns: str) -> Table:
    """An empty table; a column whose name ends in '>' is aligned to the right."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in columns:
        name = column.rstrip(">")
        table.add_column(name, justify="right" if column != name else "left", overflow="fold")
    return table


def readable_size(nbytes: int) -> str:
    """A number of bytes for reading."""
    if nbytes < 2**10:
        return f"{nbytes} bytes"
    return f"{nbytes / 2**10:.1f} KiB" if nbytes < 2**20 else f"{nbytes / 2**20:.1f} MiB"
