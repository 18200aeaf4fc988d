"""A run's document, and two compared ones, for the eye: text that fits a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tdnet_bench.documents.compare import ComparedRuns
from tdnet_bench.documents.document import Document
from tdnet_bench.records.config import Clock
from tdnet_bench.statistics.ratios import CONFIDENCE
from tdnet_bench.views import tables
from tdnet_bench.views.formats import (
    format_drift,
    format_interval,
    format_mib,
    format_ms,
    format_ratio,
    format_share,
)
from tdnet_runtime.extras import one_line

__all__ = ["bulleted", "named", "report_from_comparison", "report_from_document"]


def report_from_document(document: Document) -> Group:
    """Everything worth reading of a run, top to bottom."""
    summary = document.summary
    parts: list[RenderableType] = [_header(document), _coverage(document)]
    for side, figures in summary.sides.items():
        parts += [tables.host_call_table(side, figures), *bulleted(_side_facts(document, side)), Text("")]
    for side in dict.fromkeys(comparison.side for comparison in summary.comparisons):
        parts.append(tables.comparison_table(side, [c for c in summary.comparisons if c.side == side]))
    parts += [tables.camera_table(side, figures) for side, figures in summary.camera.items()]
    if summary.paced:
        parts += [
            tables.paced_table(document.config.subject, summary.paced),
            *bulleted(_paced_facts(document)),
            Text(""),
        ]
    parts.append(tables.quality_table(document))
    classes = tables.class_table(document)
    parts += [classes] if classes is not None else []
    for side, roofline in document.rooflines.items():
        parts += [tables.roofline_table(side, roofline), *bulleted(roofline.notes), Text("")]
    parts += bulleted(_closing(document))
    parts += [Text(""), Text(one_line(verdict(document)), style="bold")]
    return Group(*parts)


def verdict(document: Document) -> str:
    """The run in a sentence or two."""
    config, summary = document.config, document.summary
    subject = summary.sides.get(config.subject)
    if subject is None or subject.overall is None:
        return "No warm frame was measured."
    sentences = [f"A frame takes {config.subject} {format_ms(subject.overall.p50_ms)} ms (p50)"]
    for comparison in summary.comparisons:
        if comparison.side == config.subject and comparison.overall is not None:
            interval = format_interval(comparison.overall.low, comparison.overall.high)
            ratio = format_ratio(comparison.overall.median_of_pairs)
            sentences.append(f"{ratio} of {comparison.baseline}'s time ({interval})")
    agreement = subject.quality.agreement
    if agreement is not None:
        quality = f"{format_share(agreement.mean)} % of the labels are {config.reference}'s"
        quality += f" (worst frame {format_share(agreement.worst)} %)"
    elif config.reference == config.subject:
        quality = "it is the reference itself"
    else:
        quality = "label agreement NOT measured"
    return f"{', '.join(sentences)}; {quality}."


def named(texts: Iterable[tuple[str, str]]) -> Table:
    """Names and texts; a long text wraps within its column."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(min_width=9)
    for name, text in texts:
        grid.add_row(Text(name), Text(one_line(text)))
    return grid


def bulleted(lines: Iterable[str]) -> Iterator[RenderableType]:
    """Lines that wrap with their continuation indented."""
    for line in lines:
        grid = Table.grid(padding=(0, 1))
        grid.add_row(Text("*"), Text(one_line(line)))
        yield grid


def _header(document: Document) -> Group:
    config, machine = document.config, document.environment
    approximate = " (resampled: approximate)" if config.size_resampled else ""
    cores = f"{machine.usable_cores} of {machine.logical_cores or machine.usable_cores} cores"
    facts = [
        ("bundle", f"{config.engine}, digest {config.bundle_digest[:16]}"),
        ("frames", config.footage),
        ("machine", f"{machine.cpu or 'unknown CPU'}, {cores}, governor {machine.governor or 'not told'}"),
        ("", f"instruction sets that matter: {', '.join(machine.cpu_flags) or 'none known'}"),
    ]
    facts += [("gpu", f"{gpu.name}, driver {gpu.driver}") for gpu in machine.gpus]
    facts += [("side", f"{side.name}: {side.description}") for side in document.sides.values()]
    size = f"{config.height}x{config.width}{approximate}"
    title = f"{config.network} at {size}, {config.threads} thread(s) each"
    return Group(Text(one_line(title), style="bold"), named(facts), Text(""))


def _coverage(document: Document) -> Group:
    """What is inside each clock and what is not; sides with equal clocks share a line."""
    config = document.config
    lines: dict[tuple[str, Clock], list[str]] = {}
    for side in document.sides.values():
        for name, clock in side.clocks.items():
            lines.setdefault((name, clock), []).append(side.name)
    texts = [
        (
            name,
            f"{', '.join(clock.inside)}; not: {', '.join(clock.outside) or 'nothing'} ({', '.join(sides)})",
        )
        for (name, clock), sides in sorted(lines.items(), key=lambda line: line[0][0])
    ]
    if any("consistency" in name for name in document.definitions):
        texts.append(("consistency", document.definitions["temporal consistency"]))
    title = f"What a number covers (one frame in flight; {config.pause_ms:g} ms pause before each call)"
    return Group(Text(title, style="bold"), named(texts), Text(""))


def _side_facts(document: Document, side: str) -> Iterator[str]:
    summary, setup = document.summary.sides[side], document.setup[side]
    for frame in summary.lead_in:
        kinds = ["first"] if frame.frame == 0 or not frame.cold else []
        kinds += ["cold"] if frame.cold else []
        yield (
            f"kept apart: frame {frame.frame} ({', '.join(kinds)}), path {frame.path}, "
            f"{format_ms(frame.host_call_ms)} ms"
        )
    if summary.ripple_ms is not None:
        yield f"ripple between the paths {format_ms(summary.ripple_ms)} ms"
    if summary.drift is not None:
        yield (
            f"drift {format_drift(summary.drift)} (p50 of the first {summary.drift.window_frames} warm frames "
            f"{format_ms(summary.drift.first_p50_ms)} ms, of the last {format_ms(summary.drift.last_p50_ms)} ms)"
        )
    device = "" if setup.device_memory_mib is None else f", {format_mib(setup.device_memory_mib)} on the GPU"
    yield (
        f"loaded in {format_ms(setup.load_ms)} ms, first mask after {format_ms(setup.first_mask_ms)} ms; "
        f"peak memory by then {format_mib(setup.peak_rss_mib)} (RSS, Python, frames and earlier sides "
        f"included){device}"
    )


def _paced_facts(document: Document) -> Iterator[str]:
    back_to_back = document.summary.sides[document.config.subject].overall
    for rate in document.summary.paced:
        line = f"at {rate.fps:g} frames/s a host call takes {format_ms(rate.host_call.p50_ms)} ms (p50)"
        if back_to_back is not None:
            line += f", {format_ratio(rate.host_call.p50_ms / back_to_back.p50_ms)} of that back to back"
        yield line


def _closing(document: Document) -> Iterator[str]:
    for side, memory in document.streams.items():
        each = ", ".join(format_mib(value) for value in memory.further_mib)
        place = "on the GPU" if memory.on == "device" else "of the process's memory"
        yield f"each further stream of {side} takes {each} {place}"
    yield from (f"LEFT OUT {left.what}: {left.reason}" for left in document.left_out)
    yield from document.notes
    if document.run_peak_rss_mib is not None:
        yield f"peak memory of the whole run (RSS): {format_mib(document.run_peak_rss_mib)}"


def report_from_comparison(compared: ComparedRuns) -> Group:
    """The ratios, and what else was different."""
    title = f"Host call of {compared.side} (first run) over {compared.baseline} (second run)"
    made = tables.table(title, "<path", "frames", "frames", "p50 / p50", f"{CONFIDENCE:.0%} interval")
    for path, ratio in compared.by_path.items() if len(compared.by_path) > 1 else ():
        made.add_row(str(path), *tables.ratio_cells(ratio))
    made.add_row(tables.ALL, *tables.ratio_cells(compared.overall))
    differences = [(name, f"{ours}  |  {theirs}") for name, ours, theirs in compared.differences]
    return Group(
        made,
        Text("What else is different (first | second)", style="bold"),
        named(differences or [("", "nothing that is written down")]),
        Text(""),
        Text(_verdict(compared), style="bold"),
    )


def _verdict(compared: ComparedRuns) -> str:
    ratio = compared.overall
    if ratio is None:
        return "No path has a warm frame in both runs: there is nothing to compare."
    interval = format_interval(ratio.low, ratio.high)
    return (
        f"A frame of the first run takes {format_ratio(ratio.of_p50s)} of the second's time ({interval}); the "
        "interval does not cover what changes from run to run."
    )
