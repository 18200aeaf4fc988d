"""The summary of a live run, for programs and for people."""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from tdnet_runtime.cli.engine import AnySegmenter
from tdnet_runtime.cli.live_inputs import LiveInput
from tdnet_runtime.cli.live_run import LiveRun
from tdnet_runtime.cli.run_document import head_content, input_content, network_content, outputs_content
from tdnet_runtime.cli.run_options import RunOptions
from tdnet_runtime.cli.run_view import approximate_remark, facts_words, network_rows, output_rows
from tdnet_runtime.extras import one_line
from tdnet_runtime.file_names import utf8_content
from tdnet_runtime.live.health import SourceHealth
from tdnet_runtime.passwords import hide_password

__all__ = ["live_document", "show_live_run"]

_ENDED_BY = {
    "inputs": "the inputs ended",
    "signal": "interrupted",
    "max_seconds": "--max-seconds is over",
    "max_frames": "--max-frames are done",
    "output": "the output failed",
}


def live_document(
    options: RunOptions, inputs: Sequence[LiveInput], segmenter: AnySegmenter, run: LiveRun
) -> str:
    """JSON as of any run, with `inputs` by name, and `live` with the health at the end."""
    told = {each.label: _input_content(options, each) for each in inputs}
    asked = options.live
    content = {
        **head_content(run.summary),
        **({"input": told["input"]} if [each.name for each in inputs] == [""] else {}),
        "inputs": told,
        **network_content(segmenter),
        **outputs_content(options, run.summary),
        "live": {
            "policy": None if asked.policy is None else asked.policy.name,
            "deadline_ms": asked.deadline_ms,
            "late": None if asked.deadline is None else asked.deadline.late,
            "degrade": list(asked.modes),
            "gap_ms": asked.gap_ms,
            "max_seconds": asked.max_seconds,
            "metrics": run.metrics or None,
            "ended_by": run.ended_by,
            "errors": {name: str(error) for name, error in run.failures.items()},
            "health": msgspec.to_builtins(run.health),
        },
    }
    return json.dumps(utf8_content(content), indent=1) + "\n"


def _input_content(options: RunOptions, each: LiveInput) -> dict[str, object]:
    damage = {
        "policy": options.on_damage.value,
        "skipped": each.skipped,
        "used": each.used,
        "examples": each.source.damage.examples if each.source else [],
    }
    if each.source is None:
        return {"spec": hide_password(each.spec), "description": None, "damage": damage}
    return {**input_content(each.spec, each.source, each.facts), "damage": damage}


def show_live_run(
    options: RunOptions, inputs: Sequence[LiveInput], segmenter: AnySegmenter, run: LiveRun
) -> None:
    """Print the summary on stdout."""
    console = Console(markup=False, highlight=False, emoji=False)
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="bold")
    rows.add_column(overflow="fold")
    for name, value in _rows(options, inputs, segmenter, run):
        rows.add_row(name, one_line(value))
    console.print(rows)
    console.print()
    console.print(_sources(run))
    if run.health.sinks:
        console.print(_sinks(run))
    approximate_remark(console, segmenter)


def _rows(
    options: RunOptions, inputs: Sequence[LiveInput], segmenter: AnySegmenter, run: LiveRun
) -> list[tuple[str, str]]:
    rows = []
    for each in inputs:
        name = "input" if not each.name else f"input {each.name}"
        if each.source is None:
            rows.append((name, f"{hide_password(each.spec)}: never seen"))
            continue
        height, width = each.source.size_hw
        rows.append((name, f"{each.source.description}, {height}x{width} (height x width)"))
        rows.append(("read with", facts_words(each.facts)))
    summary = run.summary
    rows.append(("frames", f"{summary.frames}; {_ENDED_BY[run.ended_by]} after {summary.wall_s:.1f} s"))
    if summary.latency_ms is not None:
        figures = ", ".join(f"{name} {value:.1f} ms" for name, value in summary.latency_ms.items())
        rows.append(("inference", f"{figures} (cold start included)"))
    if (deadline := options.live.deadline) is not None:
        modes = f"; modes: {', '.join(deadline.degrade)}" if deadline.degrade else ""
        rows.append(("deadline", f"{deadline.ms:g} ms; late results: {deadline.late}{modes}"))
    if run.metrics:
        rows.append(("metrics", run.metrics))
    return [*rows, *network_rows(segmenter).items(), *output_rows(options).items()]


def _sources(run: LiveRun) -> Table:
    """Latencies are upper bounds of the histograms' buckets."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in (
        "source",
        "results",
        "a second",
        "age ms\np50 p95 p99",
        "late",
        "dropped",
        "restarts",
        "state",
    ):
        table.add_column(name, overflow="fold", no_wrap=name.startswith("age"))
    for name, source in run.health.sources.items():
        table.add_row(name, *_source_words(source, run.health.uptime_s))
    return table


def _source_words(source: SourceHealth, uptime_s: float) -> list[str]:
    latency = source.latency
    return [
        str(source.results),
        f"{source.results / uptime_s:.1f}" if uptime_s else "",
        f"{latency.p50_ms:.0f} {latency.p95_ms:.0f} {latency.p99_ms:.0f}" if latency.count else "",
        str(source.late),
        _counts(source.dropped),
        str(source.restarts),
        source.state if source.mode == "full" else f"{source.state}, mode {source.mode}",
    ]


def _sinks(run: LiveRun) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("output", "written", "dropped", "failures"):
        table.add_column(name, overflow="fold")
    for name, sink in run.health.sinks.items():
        table.add_row(one_line(name), str(sink.written), _counts(sink.dropped), str(sink.failures))
    return table


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {why}" for why, count in counts.items()) or "none"
