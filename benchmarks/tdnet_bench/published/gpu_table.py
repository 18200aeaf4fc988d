"""What was measured on GPUs, newest figures only: by `tdnet-bench`, and by checks of before it could."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from tdnet_bench.documents.document import Document, read_document
from tdnet_bench.documents.result_file import read_result
from tdnet_bench.machine.environment import Environment
from tdnet_bench.machine.gpus import Gpu
from tdnet_bench.published.markdown import Link, markdown_table, number
from tdnet_bench.published.results import Results
from tdnet_bench.records.config import DEVICE_COMPUTE, HOST_CALL, SideSpec
from tdnet_bench.statistics.latency import LatencyStats
from tdnet_bench.views.formats import ABSENT

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


class _Timed(msgspec.Struct):
    method: str
    overall: LatencyStats


class _Measurement(msgspec.Struct):
    side: str
    precision: str
    captured: bool | None
    labels: str
    clock: str
    timed: _Timed


class _Step(msgspec.Struct):
    measurements: tuple[_Measurement, ...] = ()


class _Part(msgspec.Struct):
    bundle: str | None
    steps: tuple[_Step, ...]


class _Bundle(msgspec.Struct):
    network: str
    height: int
    width: int


class _OldCheck(msgspec.Struct):
    """What the table shows of a check's document of version 1, which had the figures in itself."""

    kind: Literal["gpu-check"]
    schema_version: Literal[1]
    complete: bool
    gpu: dict[str, Any]
    gpus: tuple[Gpu, ...]
    environment: Environment
    packages: dict[str, str]
    bundles: dict[str, _Bundle]
    parts: tuple[_Part, ...]


@dataclass(frozen=True, slots=True)
class _Source:
    """A file: the GPU, with what drove it, when, and (network, input, row) of what was measured."""

    path: Path
    gpu: str
    place: str
    started_at: str
    rows: tuple[tuple[str, str, SideRow], ...]


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
    config, environment = document.config, document.environment
    if document.exit_code == 1 or not environment.gpus:
        return None
    size = f"{config.height}×{config.width}"
    return _Source(
        path,
        environment.gpus[0].name,
        _place(environment.gpus[0].name, environment.gpus, environment.packages, environment.started_at),
        environment.started_at,
        tuple((config.network, size, row) for row in side_rows(document)),
    )


def _old_check(path: Path) -> _Source | None:
    check = read_result(path, msgspec.json.Decoder(_OldCheck).decode, what="gpu_check")
    rows = []
    for part in check.parts if check.complete else ():
        bundle = check.bundles.get(part.bundle or "")
        for found in (found for step in part.steps for found in step.measurements):
            as_applications_do = found.clock != HOST_CALL or not found.timed.method.endswith(_OUR_STREAM)
            if bundle is not None and as_applications_do:
                side = f"{found.side}:{found.precision}"
                row = _row(side, found.captured, found.clock, found.labels, found.timed.overall)
                rows.append((bundle.network, f"{bundle.height}×{bundle.width}", row))
    gpu, started_at = str(check.gpu["name"]), check.environment.started_at
    place = _place(gpu, check.gpus, check.packages, started_at)
    return _Source(path, gpu, place, started_at, tuple(rows)) if check.complete else None


def _place(gpu: str, gpus: tuple[Gpu, ...], packages: dict[str, str], started_at: str) -> str:
    """The GPU with what drove it, and the day."""
    drivers = [f"driver {driver}" for driver in sorted({gpu.driver for gpu in gpus if gpu.driver})]
    versions = [f"{name} {packages[name]}" for name in ("onnxruntime-gpu", "torch") if name in packages]
    return f"{gpu} ({', '.join([*drivers, *versions])}) on {started_at[:10]}"
