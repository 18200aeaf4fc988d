"""A check for the eye."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tdnet_bench.gpu_check.records import GpuCheck
from tdnet_bench.views.formats import ABSENT, format_ms, format_ratio
from tdnet_runtime.extras import one_line

__all__ = ["view_of"]

_ERROR_CHARACTERS = 300


def view_of(document: GpuCheck) -> Group:
    """Times, targets, agreement, shares, and what failed."""
    return Group(*_tables(document))


def _tables(document: GpuCheck) -> Iterator[RenderableType]:
    yield _table(
        "Times of warm frames",
        ("bundle", "side", "precision", "CUDA graphs", "labels", "clock", "p50 ms", "p99 ms"),
        _times(document),
    )
    yield _table(
        "Labels against ONNX Runtime on the CPU",
        ("bundle", "side", "frames", "least share", "right"),
        (
            (a.bundle, a.side, str(len(a.frames)), f"{min(a.frames):.4f}", "yes" if a.correct else "NO")
            for a in document.agreements
        ),
    )
    yield _table(
        "Share of the measured FP16 matrix rate",
        ("bundle", "side", "counted", "GFLOP", "share"),
        ((s.bundle, s.side, s.counted, f"{s.gflop:.0f}", f"{s.share:.1%}") for s in document.shares),
    )
    yield _table(
        "Targets",
        ("bundle", "side", "target", "limit", "measured", ""),
        (
            (t.bundle, t.side, t.what, f"{t.limit:g}", format_ratio(t.value), t.verdict)
            for t in document.targets
        ),
    )
    for run in document.parts:
        name = run.part if run.bundle is None else f"{run.part} {run.bundle}"
        if run.ended != "done":
            yield Text(f"{name}: {run.ended}", style="bold")
        for step in run.steps:
            if not step.ok:
                yield Text(f"{name}, {step.name}: {one_line(step.error or '')[:_ERROR_CHARACTERS]}")


def _times(document: GpuCheck) -> Iterator[tuple[str, ...]]:
    for run in document.parts:
        for step in run.steps:
            for found in step.measurements:
                captured = {True: "yes", False: "no", None: ABSENT}[found.captured]
                stats = found.timed.overall
                numbers = (format_ms(stats.p50_ms), format_ms(stats.p99_ms))
                yield (
                    run.bundle or "",
                    found.side,
                    found.precision,
                    captured,
                    found.labels,
                    found.clock,
                    *numbers,
                )


def _table(title: str, columns: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Table:
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    return table
