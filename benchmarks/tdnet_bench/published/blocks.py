"""The blocks that a page may have, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tdnet_bench.published.markdown import Link
from tdnet_bench.published.quality_tables import camvid_class_table, camvid_table
from tdnet_bench.published.results import Machine
from tdnet_bench.published.roofline_tables import roofline_table
from tdnet_bench.published.settings_tables import settings_tables
from tdnet_bench.published.speed_tables import sizes_table, speed_table

__all__ = ["BLOCKS", "NOT_MEASURED", "block"]

BLOCKS: Mapping[str, Callable[[Machine, Link], str | None]] = {
    "speed": speed_table,
    "sizes": sizes_table,
    "camvid": camvid_table,
    "camvid-classes": camvid_class_table,
    "roofline": roofline_table,
    "settings": settings_tables,
}
"""From a machine to its table; None where it was not measured."""

NOT_MEASURED = "not measured yet"


def block(name: str, machines: Sequence[Machine], link: Link) -> str:
    """The block `name`, a key of `BLOCKS`, of all machines: Markdown without an end of line at its end."""
    if not machines:
        return f"{NOT_MEASURED.capitalize()}."
    return "\n\n".join(_of_machine(name, machine, link) for machine in machines)


def _of_machine(name: str, machine: Machine, link: Link) -> str:
    made = BLOCKS[name](machine, link)
    return f"**{machine.name}**: {NOT_MEASURED}." if made is None else f"**{machine.name}**\n\n{made}"
