"""A measurement from beginning to end: open, load, run, load again, summarise."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from tdnet_bench.documents.notes import busy_note
from tdnet_bench.loops.back_to_back import PAUSE_MS
from tdnet_bench.machine.environment import capture_environment
from tdnet_bench.machine.load import OtherLoad
from tdnet_bench.ort_settings.calls import BoundVariant, bind_variant, sessions_of_variant, timed_calls
from tdnet_bench.ort_settings.document import KIND, SettingsDocument
from tdnet_bench.ort_settings.loading import FORMS, REPEATS, graphs_in_form, sessions_of_form, timed_loads
from tdnet_bench.ort_settings.records import AnyRecord, FileRecord
from tdnet_bench.ort_settings.summary import summarise
from tdnet_bench.ort_settings.variants import Variant, variants_for
from tdnet_bench.ort_settings.workload import PRECISION, Workload, workload_of
from tdnet_bench.sides.side import Phase
from tdnet_runtime import Segmenter
from tdnet_runtime.backends.no_telemetry import import_without_telemetry
from tdnet_runtime.extras import require

__all__ = ["measure_settings"]


def measure_settings(
    engine: Path,
    *,
    threads: int,
    rounds: int,
    phase: Phase,
    repeats: int = REPEATS,
    pause_ms: float = PAUSE_MS,
) -> SettingsDocument:
    """Measure path 1 of a bundle with all settings, and loading it from all forms.

    Args:
        engine: the bundle.
        threads: of the runtime's settings, at least 1.
        rounds: timed calls of each graph with each variant's settings, at least 1.
        phase: for a progress display.
        repeats: loads with each variant's settings, and from each form, at least 1.
        pause_ms: idle time before each timed call.

    Raises:
        TdnetError: the bundle cannot be used, has no FP32 graphs, or ONNX Runtime refuses something.
    """
    require("scipy", extra="bench")  # for the intervals: not to be missed when all is measured
    environment = capture_environment()
    with (
        Segmenter.open(engine, backend="onnxruntime", precision=PRECISION, threads=threads) as segmenter,
        phase("a warm stream", 1),
    ):
        manifest, digest = segmenter.manifest, segmenter.bundle.digest
        workload = workload_of(segmenter)
    variants = variants_for(threads)
    load = OtherLoad()
    records = _calls(variants, workload, rounds=rounds, repeats=repeats, pause_ms=pause_ms, phase=phase)
    records += _forms(workload, threads=threads, repeats=repeats, phase=phase)
    busy_cores = load.busy_cores()
    return SettingsDocument(
        kind=KIND,
        schema_version=1,
        environment=environment,
        engine=engine.name,
        bundle_digest=digest,
        network=manifest.network,
        height=manifest.input.height,
        width=manifest.input.width,
        precision=PRECISION,
        graphs=tuple(workload.graphs),
        threads=threads,
        pause_ms=pause_ms,
        rounds=rounds,
        repeats=repeats,
        other_busy_cores=busy_cores,
        notes=tuple(busy_note(busy_cores, load.usable_cores)),
        variants=variants,
        forms=FORMS,
        summary=summarise(records),
        records=tuple(records),
    )


def _calls(
    variants: tuple[Variant, ...],
    workload: Workload,
    *,
    rounds: int,
    repeats: int,
    pause_ms: float,
    phase: Phase,
) -> list[AnyRecord]:
    """All settings: loaded in turn, then run in turn."""
    ort = _ort()
    loads = {v.name: partial(sessions_of_variant, v, workload.graphs, ort) for v in variants}
    records: list[AnyRecord] = []
    with phase("loading, all settings", repeats * len(variants)) as tick:
        records += timed_loads(loads, "variant", repeats=repeats, tick=tick)
    bound: list[BoundVariant] = []
    expected = None
    with phase("warming up", len(variants)) as tick:
        for variant in variants:
            bound.append(bind_variant(variant, workload, ort))
            records.append(bound[-1].warm_up(workload, expected=expected))
            if expected is None:  # base, the first one
                expected = workload.labels.copy()
            tick()
    with phase("running", rounds * len(variants) * len(workload.graphs)) as tick:
        records += timed_calls(tuple(bound), rounds=rounds, pause_ms=pause_ms, tick=tick)
    return records


def _forms(workload: Workload, *, threads: int, repeats: int, phase: Phase) -> list[AnyRecord]:
    """All forms: made, then loaded in turn."""
    ort = _ort()
    records: list[AnyRecord] = []
    loads = {}
    with phase("optimising beforehand", len(FORMS)) as tick:
        for form in FORMS:
            graphs = graphs_in_form(form, workload.graphs, ort, threads=threads)
            records.append(FileRecord(form=form.name, size_bytes=sum(map(len, graphs.values()))))
            loads[form.name] = partial(sessions_of_form, form, graphs, ort, threads=threads)
            tick()
    with phase("loading, all forms", repeats * len(loads)) as tick:
        records += timed_loads(loads, "form", repeats=repeats, tick=tick)
    return records


def _ort() -> Any:
    return import_without_telemetry("onnxruntime")  # the runtime has said by then if it is missing
