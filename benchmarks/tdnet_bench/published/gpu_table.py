"""What `gpu_check` measured, newest figures only."""

from __future__ import annotations

from collections.abc import Iterator

from tdnet_bench.gpu_check.records import OUR_STREAM, GpuCheck, Measurement
from tdnet_bench.published.markdown import Link, markdown_table, number
from tdnet_bench.published.results import GpuResult, Results
from tdnet_bench.views.formats import ABSENT

__all__ = ["gpu_table"]

_COLUMNS = ("GPU", "network", "input", "side", "CUDA graphs", "clock", "labels on", "p50", "p99", "file")
_CAPTURED = {True: "yes", False: "no", None: ABSENT}


def gpu_table(results: Results, link: Link) -> str | None:
    """A row for each way to run a bundle that was timed, with the newest figures; None without any.

    Checks that were cut short are left out.
    """
    rows: dict[tuple[str, ...], tuple[str, ...]] = {}
    whole = [result for result in results.gpu_checks if result.document.complete]
    for result in whole:
        rows |= _rows(result, link)
    if not rows:
        return None
    made = [(*key, *figures) for key, figures in sorted(rows.items(), key=lambda row: row[0][:3])]
    places = "; ".join(dict.fromkeys(map(_place, whole)))
    return f"{markdown_table(_COLUMNS, made)}\n\nMeasured on {places}. Rows of one file are of one run."


def _rows(result: GpuResult, link: Link) -> dict[tuple[str, ...], tuple[str, ...]]:
    """By what was timed: p50, p99, and the file."""
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    for bundle, measurement in _measurements(result.document):
        facts, stats = result.document.bundles[bundle], measurement.timed.overall
        key = (
            str(result.document.gpu["name"]),
            facts.network,
            f"{facts.height}×{facts.width}",
            f"{measurement.side}:{measurement.precision}",
            _CAPTURED[measurement.captured],
            measurement.clock,
            measurement.labels,
        )
        p99 = ABSENT if stats.p99_ms is None else f"{number(stats.p99_ms)} ms"
        found.setdefault(key, (f"{number(stats.p50_ms)} ms", p99, f"[json]({link(result.path)})"))
    return found


def _measurements(document: GpuCheck) -> Iterator[tuple[str, Measurement]]:
    for run in document.parts:
        for step in run.steps:
            for measurement in step.measurements:
                marked = measurement.clock == "host call" and measurement.timed.method.endswith(OUR_STREAM)
                if run.bundle is not None and not marked:
                    yield run.bundle, measurement


def _place(result: GpuResult) -> str:
    """The GPU with what drove it, and the day."""
    document = result.document
    drivers = sorted({gpu.driver for gpu in document.gpus if gpu.driver})
    packages = [name for name in ("onnxruntime-gpu", "torch") if name in document.packages]
    versions = [f"driver {driver}" for driver in drivers]
    versions += [f"{name} {document.packages[name]}" for name in packages]
    return f"{document.gpu['name']} ({', '.join(versions)}) on {document.environment.started_at[:10]}"
