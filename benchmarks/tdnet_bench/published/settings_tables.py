"""What other settings of ONNX Runtime would cost, from files that an experiment left; see docs/adr/0004."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tdnet_bench.published.markdown import Link, markdown_table
from tdnet_bench.published.results import Machine
from tdnet_bench.views.formats import format_interval, format_ms, format_ratio, format_share
from tdnet_eval.result_file import read_result

__all__ = ["settings_tables"]


def settings_tables(machine: Machine, link: Link) -> str | None:
    """The tables of each document, one after the other; None without any.

    Raises:
        OptionError: a file is no such document.
    """
    made = [
        f"{read_result(path, _table, what='the settings of ONNX Runtime')}\n\n[json]({link(path)})"
        for path in machine.settings
    ]
    return "\n\n".join(made) or None


def _table(data: bytes) -> str:
    """The tables of a file; LookupError, TypeError or ValueError where it is something else."""
    content = json.loads(data)
    if content["schema_version"] != 1:
        raise ValueError(f"schema version {content['schema_version']}, expected 1")
    figures = content["summary"]
    settings, forms = [], []
    for named in content["variants"]:
        found = figures["variants"][named["name"]]
        cells = [c for g in found["graphs"].values() for c in (format_ms(g["median_ms"]), _ratio(g["ratio"]))]
        settings.append([f"{named['name']}: {named['why']}", format_ms(found["load_ms"]), *cells])
    for named in content["forms"]:
        form = figures["forms"][named["name"]]
        size = f"{form['size_bytes'] / 1e6:.1f}"
        forms.append([f"{named['name']}: {named['why']}", size, format_ms(form["load_ms"])])
    heads = [head for graph in content["graphs"] for head in (f"{graph}, ms", "over base")]
    made = (
        markdown_table(["settings", "load, ms", *heads], settings),
        markdown_table(["graphs kept", "MB", "load, ms"], forms),
    )
    return "\n\n".join([*made, *_remarks(content)])


def _remarks(content: dict[str, Any]) -> Iterator[str]:
    machine = content["environment"]
    yield (
        f"{content['network']} at {content['height']}×{content['width']}, {content['precision']}, path 1: medians of "
        f"{content['rounds']:d} calls of each graph in turn, and of {content['repeats']} loads of all its graphs together. "
        f"ONNX Runtime {machine['packages'].get('onnxruntime', 'of unknown version')}, {content['threads']} thread(s), on "
        f"{machine['cpu'] or 'an unknown CPU'} ({', '.join(machine['cpu_flags']) or 'no instruction sets that matter'}), "
        f"{machine['started_at'][:10]}."
    )
    for name, found in content["summary"]["variants"].items():
        if found["labels_equal"] < 1:
            yield f"With {name!r}, {format_share(found['labels_equal'])} % of a frame's labels are base's."
    yield from content["notes"]


def _ratio(ratio: dict[str, Any] | None) -> str:
    if ratio is None:
        return ""
    text = format_ratio(ratio["median_of_pairs"])
    return text if ratio["low"] is None else f"{text} ({format_interval(ratio['low'], ratio['high'])})"
