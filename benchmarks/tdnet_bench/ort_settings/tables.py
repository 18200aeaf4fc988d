"""A measurement for the eye: on a terminal of 80 columns, and as Markdown for a document."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType

from tdnet_bench.ort_settings.document import SettingsDocument
from tdnet_bench.statistics.ratios import CONFIDENCE, Ratio
from tdnet_bench.views import tables
from tdnet_bench.views.formats import ABSENT, format_interval, format_ms, format_ratio, format_share
from tdnet_bench.views.markdown import markdown_table
from tdnet_bench.views.report import bulleted

__all__ = ["table", "view_of"]

_BYTES_PER_MB = 1e6


def table(document: SettingsDocument) -> str:
    """Both tables in Markdown, then what was measured where; no line end after the last line.

    Ratios are to base on the same rounds, with their interval.
    """
    graphs, figures = document.graphs, document.summary
    settings = [
        [
            f"{variant.name}: {variant.why}",
            format_ms(figures.variants[variant.name].load_ms),
            *(
                cell
                for graph in figures.variants[variant.name].graphs.values()
                for cell in (format_ms(graph.median_ms), _ratio_text(graph.ratio))
            ),
        ]
        for variant in document.variants
    ]
    forms = [
        [
            f"{form.name}: {form.why}",
            _megabytes(figures.forms[form.name].size_bytes),
            format_ms(figures.forms[form.name].load_ms),
        ]
        for form in document.forms
    ]
    heads = [head for graph in graphs for head in (f"{graph}, ms", "over base")]
    return "\n".join(
        (
            markdown_table(["settings", "load, ms", *heads], settings),
            "",
            markdown_table(["graphs kept", "MB", "load, ms"], forms),
            "",
            "\n\n".join(_remarks(document)),
        )
    )


def view_of(document: SettingsDocument) -> Group:
    """Both tables, then what was measured where."""
    return Group(*_view(document))


def _view(document: SettingsDocument) -> Iterator[RenderableType]:
    title = f"{document.network}: path 1 with other settings of ONNX Runtime"
    columns = ("<settings", "load ms", "<graph", "ms", "over base", f"{CONFIDENCE:.0%} interval")
    settings = tables.table(title, *columns)
    for name, figures in document.summary.variants.items():
        own = (name, format_ms(figures.load_ms))
        for graph, found in figures.graphs.items():
            settings.add_row(*own, graph, format_ms(found.median_ms), *_ratio_cells(found.ratio))
            own = ("", "")
    yield settings
    forms = tables.table("Loading path 1 from memory", "<graphs kept", "MB", "load ms")
    for name, form in document.summary.forms.items():
        forms.add_row(name, _megabytes(form.size_bytes), format_ms(form.load_ms))
    yield forms
    yield from bulleted(_remarks(document))


def _remarks(document: SettingsDocument) -> Iterator[str]:
    """What was measured where, and what a reader must know about it."""
    machine = document.environment
    flags = ", ".join(machine.cpu_flags) or "no instruction sets that matter"
    version = machine.packages.get("onnxruntime", "of unknown version")
    yield (
        f"{document.network} at {document.height}×{document.width}, {document.precision}, path 1: medians of "
        f"{document.rounds} calls of each graph in turn, and of {document.repeats} loads of all its graphs together. "
        f"ONNX Runtime {version}, {document.threads} thread(s), on {machine.cpu or 'an unknown CPU'} ({flags}), "
        f"{machine.started_at[:10]}."
    )
    for name, figures in document.summary.variants.items():
        if figures.labels_equal < 1:
            yield f"With {name!r}, {format_share(figures.labels_equal)} % of a frame's labels are base's."
    yield from document.notes


def _ratio_text(ratio: Ratio | None) -> str:
    if ratio is None:
        return ""
    value, interval = _ratio_cells(ratio)
    return value if interval == ABSENT else f"{value} ({interval})"


def _ratio_cells(ratio: Ratio | None) -> tuple[str, str]:
    if ratio is None:
        return "", ""
    return format_ratio(ratio.median_of_pairs), format_interval(ratio.low, ratio.high)


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / _BYTES_PER_MB:.1f}"
