"""What other settings of ONNX Runtime would cost, from files that an experiment left; see docs/adr/0004."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from tdnet_bench.documents.result_file import read_result
from tdnet_bench.machine.environment import Environment
from tdnet_bench.published.markdown import Link, markdown_table
from tdnet_bench.published.results import Machine
from tdnet_bench.statistics.ratios import Ratio
from tdnet_bench.views.formats import format_interval, format_ms, format_ratio, format_share

__all__ = ["settings_tables"]


class _Named(msgspec.Struct):
    name: str
    why: str


class _Graph(msgspec.Struct):
    median_ms: float
    ratio: Ratio | None  # to the runtime's own settings; None for these


class _Variant(msgspec.Struct):
    load_ms: float
    labels_equal: float
    graphs: dict[str, _Graph]


class _Form(msgspec.Struct):
    size_bytes: int
    load_ms: float


class _Figures(msgspec.Struct):
    variants: dict[str, _Variant]
    forms: dict[str, _Form]


class _Settings(msgspec.Struct):
    """What a table shows of such a file; the records behind it are in the file alone."""

    kind: Literal["onnxruntime settings"]
    schema_version: Literal[1]
    environment: Environment
    network: str
    height: int
    width: int
    precision: str
    graphs: tuple[str, ...]
    threads: int
    rounds: int
    repeats: int
    notes: tuple[str, ...]
    variants: tuple[_Named, ...]
    forms: tuple[_Named, ...]
    summary: _Figures


def settings_tables(machine: Machine, link: Link) -> str | None:
    """The tables of each document, one after the other; None without any.

    Raises:
        OptionError: a file is no such document.
    """
    made = [f"{_table(_read(path))}\n\n[json]({link(path)})" for path in machine.settings]
    return "\n\n".join(made) or None


def _read(path: Path) -> _Settings:
    return read_result(path, msgspec.json.Decoder(_Settings).decode, what="ONNX Runtime's settings")


def _table(document: _Settings) -> str:
    figures = document.summary
    settings = []
    for named in document.variants:
        found = figures.variants[named.name]
        cells = [cell for g in found.graphs.values() for cell in (format_ms(g.median_ms), _ratio(g.ratio))]
        settings.append([f"{named.name}: {named.why}", format_ms(found.load_ms), *cells])
    forms = []
    for named in document.forms:
        form = figures.forms[named.name]
        forms.append([f"{named.name}: {named.why}", f"{form.size_bytes / 1e6:.1f}", format_ms(form.load_ms)])
    heads = [head for graph in document.graphs for head in (f"{graph}, ms", "over base")]
    made = (
        markdown_table(["settings", "load, ms", *heads], settings),
        markdown_table(["graphs kept", "MB", "load, ms"], forms),
    )
    return "\n\n".join([*made, *_remarks(document)])


def _remarks(document: _Settings) -> Iterator[str]:
    machine = document.environment
    yield (
        f"{document.network} at {document.height}×{document.width}, {document.precision}, path 1: medians of "
        f"{document.rounds} calls of each graph in turn, and of {document.repeats} loads of all its graphs together. "
        f"ONNX Runtime {machine.packages.get('onnxruntime', 'of unknown version')}, {document.threads} thread(s), on "
        f"{machine.cpu or 'an unknown CPU'} ({', '.join(machine.cpu_flags) or 'no instruction sets that matter'}), "
        f"{machine.started_at[:10]}."
    )
    for name, figures in document.summary.variants.items():
        if figures.labels_equal < 1:
            yield f"With {name!r}, {format_share(figures.labels_equal)} % of a frame's labels are base's."
    yield from document.notes


def _ratio(ratio: Ratio | None) -> str:
    if ratio is None:
        return ""
    text = format_ratio(ratio.median_of_pairs)
    return text if ratio.low is None else f"{text} ({format_interval(ratio.low, ratio.high)})"
