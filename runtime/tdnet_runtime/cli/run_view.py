"""The summary of a `tdnet-run` for people."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from tdnet_runtime.cli.engine import AnySegmenter
from tdnet_runtime.cli.labelling_view import labelling, preprocessing
from tdnet_runtime.cli.run_options import LabelOrientation, RunOptions
from tdnet_runtime.extras import one_line
from tdnet_runtime.media.damage import DamageLog
from tdnet_runtime.media.frames import Fact, FrameSource
from tdnet_runtime.media.pipeline import RunSummary
from tdnet_runtime.passwords import hide_password

__all__ = [
    "approximate_remark",
    "damage_words",
    "facts_words",
    "network_rows",
    "output_rows",
    "show_run",
]

_SHORT_DIGEST = 12
_EXAMPLES = 3


def show_run(options: RunOptions, source: FrameSource, segmenter: AnySegmenter, summary: RunSummary) -> None:
    """Print the summary on stdout."""
    console = Console(markup=False, highlight=False, emoji=False)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in _rows(options, source, segmenter, summary).items():
        table.add_row(name, one_line(value))
    console.print(table)
    approximate_remark(console, segmenter)


def approximate_remark(console: Console, segmenter: AnySegmenter) -> None:
    """Say so where results are not those of the checkpoint."""
    if segmenter.manifest.size_resampled:
        console.print(
            "APPROXIMATE: the LayerNorm maps of this bundle were resampled from another size; "
            "its results are not those of the checkpoint at its own size.",
            style="bold yellow",
        )


def damage_words(damage: DamageLog) -> str:
    """What was damaged and what became of it, with examples; empty where nothing was."""
    counts = ((damage.skipped, "left out"), (damage.used, "used as decoded"))
    told = [f"{count} damaged frame{'s' * (count > 1)} {what}" for count, what in counts if count]
    examples = damage.examples[:_EXAMPLES]
    more = "; …" if damage.skipped + damage.used > len(examples) else ""
    return f"{', '.join(told)}: {'; '.join(examples)}{more}" if told else ""


def _rows(
    options: RunOptions, source: FrameSource, segmenter: AnySegmenter, summary: RunSummary
) -> dict[str, str]:
    rows = {
        "input": f"{source.description}, {source.size_hw[0]}x{source.size_hw[1]} (height x width)",
        "read with": facts_words(source.facts),
        "frames": f"{summary.frames}{', then interrupted' if summary.interrupted else ''}",
        "whole loop": f"{summary.frames_per_s:.2f} frames/s, files included ({summary.wall_s:.1f} s)",
    }
    if damage := damage_words(source.damage):
        rows["damage"] = damage
    if summary.latency_ms is not None:
        figures = ", ".join(f"{name} {value:.1f} ms" for name, value in summary.latency_ms.items())
        rows["latency"] = f"{figures} (from frame to labels, cold start included)"
    rows |= network_rows(segmenter)
    for option, path in options.folders:
        rows[option.lstrip("-")] = f"{summary.frames} PNG files in {path}"
        if options.orientation is LabelOrientation.STORED:
            rows[option.lstrip("-")] += ", lying as the frames are stored"
    rows |= output_rows(options)
    if options.overlay is not None:
        rows["overlay"] = str(options.overlay) if summary.frames else "none, for want of frames"
    return rows


def facts_words(facts: Mapping[str, Fact]) -> str:
    """What a source tells of its data and their reader, in one line."""
    told = {name: value for name, value in facts.items() if name != "warning"}  # which is told on stderr
    reader = told.pop("reader")
    return f"{reader}; " + ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in told.items())


def network_rows(segmenter: AnySegmenter) -> dict[str, str]:
    """The network, where it lies and what runs it."""
    manifest, bundle, backend = segmenter.manifest, segmenter.bundle, segmenter.backend
    remark = "" if manifest.input.size_from == "user" else " (assumed size: see tdnet-inspect)"
    if manifest.size_resampled:
        remark = " (APPROXIMATE)"
    rows = {
        "network": f"{manifest.network}, {manifest.input.height}x{manifest.input.width}{remark}",
        "preprocessing": preprocessing(manifest.input),
    }
    if manifest.channels == 1:
        rows["a pixel's label"] = labelling(manifest)
    return rows | {
        "bundle": f"{bundle.path}, digest {bundle.digest[:_SHORT_DIGEST]}",
        "backend": f"{backend.name}: {backend.description}",
        "precision": backend.precision,
    }


def output_rows(options: RunOptions) -> dict[str, str]:
    """Of `--output`."""
    return {"output": ", ".join(map(hide_password, options.outputs))} if options.outputs else {}
