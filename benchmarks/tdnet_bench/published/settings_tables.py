"""What other settings of ONNX Runtime would cost: the tables of `ort_settings`, and their files."""

from __future__ import annotations

from tdnet_bench.ort_settings.tables import table
from tdnet_bench.published.markdown import Link
from tdnet_bench.published.results import Machine

__all__ = ["settings_tables"]


def settings_tables(machine: Machine, link: Link) -> str | None:
    """The tables of each document, one after the other; None without any."""
    made = [f"{table(document)}\n\n[json]({link(path)})" for path, document in machine.settings]
    return "\n\n".join(made) or None
