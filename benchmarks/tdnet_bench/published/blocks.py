"""The blocks that a page may have, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from tdnet_bench.published.gpu_table import gpu_table
from tdnet_bench.published.headline_table import headline_table
from tdnet_bench.published.markdown import Link
from tdnet_bench.published.quality_tables import camvid_class_table, camvid_table
from tdnet_bench.published.results import Machine, Results
from tdnet_bench.published.roofline_tables import roofline_table
from tdnet_bench.published.settings_tables import settings_tables
from tdnet_bench.published.speed_tables import sizes_table, speed_table

__all__ = ["BLOCKS", "NOT_MEASURED", "block"]

Table: TypeAlias = Callable[[Results, Link], str | None]


def _by_machine(table: Callable[[Machine, Link], str | None]) -> Table:
    """A table for each machine, under its name; machines that have none are left out."""

    def tables(results: Results, link: Link) -> str | None:
        made = [(machine.name, table(machine, link)) for machine in results.machines]
        return "\n\n".join(f"**{name}**\n\n{text}" for name, text in made if text is not None) or None

    return tables


BLOCKS: Mapping[str, Table] = {
    "headline": headline_table,
    "gpu": gpu_table,
    "speed": _by_machine(speed_table),
    "sizes": _by_machine(sizes_table),
    "camvid": _by_machine(camvid_table),
    "camvid-classes": _by_machine(camvid_class_table),
    "roofline": _by_machine(roofline_table),
    "settings": _by_machine(settings_tables),
}
"""Text without an end of line at its end; None where nothing of it was measured."""

NOT_MEASURED = "Not measured yet."


def block(name: str, results: Results, link: Link) -> str:
    """The block `name`, a key of `BLOCKS`."""
    return BLOCKS[name](results, link) or NOT_MEASURED
