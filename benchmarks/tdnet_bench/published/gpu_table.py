"""What was measured on GPUs, newest figures only: by `tdnet-bench`, and by checks of before it could."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from tdnet_bench.documents.document import Document, read_document
from tdnet_bench.published.markdown import Link, markdown_table, number
from tdnet_bench.published.results import Result, Results
from tdnet_bench.records.config import DEVICE_COMPUTE, HOST_CALL, SideSpec
from tdnet_bench.statistics.latency import LatencyStats
from tdnet_bench.views.formats import ABSENT
from tdnet_eval.result_file import read_result

__all__ = ["SideRow", "gpu_table", "side_rows"]

_COLUMNS = ("GPU", "network", "input", "side", "CUDA graphs", "clock", "labels on", "p50", "p99", "file")
_CAPTURED = {True: "yes", False: "no", None: ABSENT}
_OUR_STREAM = "on a stream of ours"  # ends the method of calls that are not as an application makes them


class SideRow(NamedTuple):
    """One clock of one side, as text."""

    side: str
    captured: str
    clock: str
    labels: str
    p50: str
    p99: str


class _Source(NamedTuple):
    """A file: when, the GPU, what drove it, and (network, input, row) of what was measured."""

    started_at: str
    gpu: str
    place: str
    rows: list[tuple[str, str, SideRow]]
    path: Path


def gpu_table(results: Results, link: Link) -> str | None:
    """A row for each way to run a bundle that was timed, with the newest figures; None without any.

    Runs that were cut short are left out.

    Raises:
        OptionError: a file is no document of this version.
    """
    found = [*map(_old_check, results.gpu_checks), *map(_run, results.gpu_runs)]
    sources = sorted((source for source in found if source is not None), key=lambda source: source.started_at)
    rows: dict[tuple[str, ...], tuple[str, ...]] = {}
    for source in sources:
        own: dict[tuple[str, ...], tuple[str, ...]] = {}
        for network, size, row in source.rows:
            own.setdefault((source.gpu, network, size, *row[:4]), (*row[4:], f"[json]({link(source.path)})"))
        rows |= own
    if not rows:
        return None
    made = [(*key, *figures) for key, figures in sorted(rows.items(), key=lambda row: row[0][:3])]
    places = "; ".join(dict.fromkeys(source.place for source in sources))
    return f"{markdown_table(_COLUMNS, made)}\n\nMeasured on {places}. Rows of one file are of one run."


def side_rows(document: Document) -> Iterator[SideRow]:
    """A row for each clock of each side that has a device."""
    for name, spec in document.sides.items():
        figures, clock = document.summary.sides.get(name), spec.clocks.get(HOST_CALL)
        if figures is None or clock is None or "CUDA graph" not in (*clock.inside, *clock.outside):
            continue
        captured = None if spec.kind == "pytorch" else "CUDA graph" in clock.inside
        labels = "host" if "D2H" in clock.inside else "device"
        for kind, stats in ((HOST_CALL, figures.overall), (DEVICE_COMPUTE, figures.device)):
            if stats is not None:
                yield _row(_side(name, spec), captured, kind, labels, stats)


def _side(name: str, spec: SideSpec) -> str:
    """With its precision, which PyTorch's names leave out where it is FP32."""
    head, mark, marks = name.partition("@")
    return name if spec.precision in head.split(":") else f"{head}:{spec.precision}{mark}{marks}"


def _row(side: str, captured: bool | None, clock: str, labels: str, stats: LatencyStats) -> SideRow:
    p99 = ABSENT if stats.p99_ms is None else f"{number(stats.p99_ms)} ms"
    return SideRow(side, _CAPTURED[captured], clock, labels, f"{number(stats.p50_ms)} ms", p99)


def _run(path: Path) -> _Source | None:
    document = read_document(path)
    config, machine = document.config, document.environment
    if document.exit_code == 1 or not machine.gpus:
        return None
    gpu, size = machine.gpus[0].name, f"{config.height}×{config.width}"
    place = _place(gpu, {found.driver for found in machine.gpus}, machine.packages, machine.started_at)
    rows = [(Result(path, document).network, size, row) for row in side_rows(document)]
    return _Source(machine.started_at, gpu, place, rows, path)


def _old_check(path: Path) -> _Source | None:
    """A check's document of version 1, which had the figures in itself; None where it was cut short."""

    def decode(data: bytes) -> _Source | None:
        content = json.loads(data)
        if content["schema_version"] != 1:
            raise ValueError(f"schema version {content['schema_version']}, expected 1")
        rows = []
        for part in content["parts"]:
            bundle = content["bundles"].get(part["bundle"])
            for m in (m for step in part["steps"] for m in step.get("measurements", ())):
                ours = m["clock"] == HOST_CALL and m["timed"]["method"].endswith(_OUR_STREAM)
                if bundle is not None and not ours:
                    stats = msgspec.convert(m["timed"]["overall"], LatencyStats)
                    row = _row(f"{m['side']}:{m['precision']}", m["captured"], m["clock"], m["labels"], stats)
                    rows.append((bundle["network"], f"{bundle['height']}×{bundle['width']}", row))
        gpu, started_at = content["gpu"]["name"], content["environment"]["started_at"]
        place = _place(gpu, {found["driver"] for found in content["gpus"]}, content["packages"], started_at)
        return _Source(started_at, gpu, place, rows, path) if content["complete"] else None

    return read_result(path, decode, what="gpu_check")


def _place(gpu: str, drivers: set[str], packages: dict[str, str], started_at: str) -> str:
    """The GPU with what drove it, and the day."""
    versions = [f"driver {driver}" for driver in sorted(filter(None, drivers))]
    versions += [f"{name} {packages[name]}" for name in ("onnxruntime-gpu", "torch") if name in packages]
    return f"{gpu} ({', '.join(versions)}) on {started_at[:10]}"
