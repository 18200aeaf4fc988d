"""A run's document for the eye: Rich tables that fit a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tdnet_bench.document import Document
from tdnet_bench.stats import Agreement, Comparison, LatencyStats, Ratio

__all__ = ["format_ms", "format_ratio", "format_share", "report_from_document"]

ABSENT = "\N{EN DASH}"
_ALL = "all"


def report_from_document(document: Document) -> Group:
    """Everything worth reading of a run, top to bottom."""
    parts: list[RenderableType] = [_header(document), _latency_table(document), _lead_in_table(document)]
    parts += [_comparison_table(comparison) for comparison in document.summary.comparisons]
    parts.append(_closing(document))
    return Group(*parts)


def format_ms(value_ms: float | None) -> str:
    """Milliseconds with two decimals, one from 1000 on."""
    if value_ms is None:
        return ABSENT
    return f"{value_ms:.2f}" if value_ms < 1000 else f"{value_ms:.1f}"


def format_ratio(value: float | None) -> str:
    """A ratio with three decimals."""
    return ABSENT if value is None else f"{value:.3f}"


def format_share(share: float | None) -> str:
    """A share (0 to 1) in per cent; 100.0000 only where it is all of them."""
    if share is None:
        return ABSENT
    text = f"{100 * share:.4f}"
    return ">99.9999" if text == "100.0000" and share < 1 else text


def _header(document: Document) -> Group:
    config, machine = document.config, document.environment
    approximate = " (resampled: approximate)" if config.size_resampled else ""
    cores = f"{machine.usable_cores} of {machine.logical_cores or machine.usable_cores} cores"
    facts = {
        "backend": f"{config.backend}: {config.backend_description}",
        "bundle": f"{config.engine}, digest {config.bundle_digest[:16]}",
        "frames": f"{config.footage}; all at the network's size",
        "machine": f"{machine.cpu or 'unknown CPU'}, {cores}, governor {machine.governor or 'not told'}",
    }
    size = f"{config.height}x{config.width}{approximate}"
    title = f"{config.network} at {size}, {config.threads} thread(s) each"
    covers = f"What a number covers (one frame in flight; {config.pause_ms:g} ms pause before each call)"
    return Group(
        Text(title, style="bold"), _pairs(facts), Text(f"\n{covers}"), _pairs(config.includes), Text("")
    )


def _pairs(texts: dict[str, str]) -> Table:
    """Names and texts; a long text wraps within its column."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(min_width=9)
    for name, text in texts.items():
        grid.add_row(Text(name), Text(text))
    return grid


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=Text(title),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for column in columns:
        table.add_column(column, justify="left" if column in ("side", "kind") else "right", no_wrap=True)
    return table


def _latency_table(document: Document) -> Table:
    columns = ("side", "path", "frames", "p50", "p95", "p99", "max", "mean", "min")
    table = _table("Warm frames, ms per frame", *columns)
    for side, summary in document.summary.sides.items():
        rows: list[tuple[str, LatencyStats | None]] = []
        if document.config.paths > 1:
            rows += [(str(path), stats) for path, stats in summary.by_path.items()]
        rows.append((_ALL, summary.overall))
        for place, (path, stats) in enumerate(rows):
            table.add_row(side if place == 0 else "", path, *_latency_cells(stats), end_section=path == _ALL)
    return table


def _latency_cells(stats: LatencyStats | None) -> Iterator[str]:
    if stats is None:
        yield "0"
        yield from [ABSENT] * 6
        return
    yield str(stats.samples)
    for value_ms in (stats.p50_ms, stats.p95_ms, stats.p99_ms, stats.max_ms, stats.mean_ms, stats.min_ms):
        yield format_ms(value_ms)


def _lead_in_table(document: Document) -> Table:
    sides = document.summary.sides
    table = _table("Kept apart, ms", "frame", "path", "kind", *sides)
    by_side = [summary.lead_in for summary in sides.values()]
    for frames in zip(*by_side, strict=True):
        first = frames[0]
        kinds = [kind for kind, holds in (("first", first.frame == 0), ("cold", first.cold)) if holds]
        times = [format_ms(frame.host_call_ms) for frame in frames]
        table.add_row(str(first.frame), str(first.path), ", ".join(kinds), *times)
    return table


def _comparison_table(comparison: Comparison) -> Table:
    title = f"{comparison.side} / {comparison.baseline}: ratios of their times, and equal labels"
    columns = ("path", "pairs", "p50 / p50", "median ratio", "labels equal %", "worst %", "in frame")
    table = _table(title, *columns)
    paths = comparison.by_path.keys() | comparison.agreement_by_path.keys()
    for path in sorted(paths) if len(paths) > 1 else []:
        row = _comparison_cells(comparison.by_path.get(path), comparison.agreement_by_path.get(path))
        table.add_row(str(path), *row)
    table.add_row(_ALL, *_comparison_cells(comparison.overall, comparison.agreement))
    return table


def _comparison_cells(ratio: Ratio | None, agreement: Agreement | None) -> tuple[str, ...]:
    return (
        str(ratio.pairs if ratio else 0),
        format_ratio(ratio.of_p50s if ratio else None),
        format_ratio(ratio.median_of_pairs if ratio else None),
        format_share(agreement.mean if agreement else None),
        format_share(agreement.worst if agreement else None),
        str(agreement.worst_frame) if agreement else ABSENT,
    )


def _closing(document: Document) -> Padding:
    lines = [f"* {note}" for note in document.notes]
    memory = document.memory
    if memory.run_peak_mib is not None and memory.bundle_peak_mib is not None:
        lines.append(
            f"* peak memory (RSS, frames included): {memory.bundle_peak_mib:.0f} MiB with the bundle "
            f"alone, {memory.run_peak_mib:.0f} MiB in the whole run"
        )
    verdict = Text(_verdict(document), style="bold")
    return Padding(Group(*_hanging(lines), Text(""), verdict), (0, 0))


def _hanging(lines: list[str]) -> Iterator[RenderableType]:
    """Lines that wrap with their continuation indented."""
    for line in lines:
        grid = Table.grid(padding=(0, 1))
        mark, _, text = line.partition(" ")
        grid.add_row(Text(mark), Text(text))
        yield grid


def _verdict(document: Document) -> str:
    sides = document.summary.sides
    for comparison in document.summary.comparisons:
        if comparison.overall is None:
            continue
        agreement = comparison.agreement
        quality = (
            f"{format_share(agreement.mean)} % of the labels are equal "
            f"(worst frame {format_share(agreement.worst)} %)"
            if agreement
            else "label agreement NOT measured"
        )
        ratio = format_ratio(comparison.overall.median_of_pairs)
        return f"A frame takes the {comparison.side} {ratio} of the {comparison.baseline}'s time; {quality}."
    p50_ms = [summary.overall.p50_ms for summary in sides.values() if summary.overall]
    return f"A frame takes the bundle {format_ms(p50_ms[0])} ms (p50); there is nothing to compare it with."
