"""A whole document whose figures are easy to follow."""

from __future__ import annotations

from typing import Literal

import pytest

from tdnet_bench.machine.environment import Environment
from tdnet_bench.ort_settings.document import SettingsDocument
from tdnet_bench.ort_settings.loading import Form
from tdnet_bench.ort_settings.records import AnyRecord, CallRecord, FileRecord, LoadRecord, VariantRecord
from tdnet_bench.ort_settings.summary import summarise
from tdnet_bench.ort_settings.variants import Variant

MS = 1_000_000
BASE_MS = {"subnet1": (10, 20, 40), "apm1": (2, 4, 8)}
SPINNING_MS = {"subnet1": (5, 25, 32), "apm1": (2, 4, 8)}


def loads(of: Literal["variant", "form"], name: str, *ms: int) -> list[LoadRecord]:
    """One record for each time."""
    return [
        LoadRecord(of=of, name=name, repeat=repeat, turn=0, load_ns=time * MS)
        for repeat, time in enumerate(ms)
    ]


@pytest.fixture
def settings_document(environment: Environment) -> SettingsDocument:
    """Three rounds of base and one other variant, two loads of two forms."""
    records: list[AnyRecord] = [
        VariantRecord(variant="base", labels_equal=1.0),
        VariantRecord(variant="spinning", labels_equal=0.875),
        *loads("variant", "base", 100, 120),
        *loads("variant", "spinning", 130, 110),
    ]
    for index in range(3):
        for graph in BASE_MS:
            for turn, (variant, times) in enumerate((("base", BASE_MS), ("spinning", SPINNING_MS))):
                call_ns = times[graph][index] * MS
                records.append(
                    CallRecord(round=index, graph=graph, variant=variant, turn=turn, call_ns=call_ns)
                )
    records += [
        FileRecord(form="as exported", size_bytes=1_250_000),
        FileRecord(form="all", size_bytes=1_500_000),
    ]
    records += [*loads("form", "as exported", 90, 70), *loads("form", "all", 30, 20)]
    return SettingsDocument(
        kind="onnxruntime settings",
        schema_version=1,
        environment=environment,
        engine="tiny.plan",
        bundle_digest="ab" * 32,
        network="td2-fa18",
        height=48,
        width=64,
        precision="fp32",
        graphs=("subnet1", "apm1"),
        threads=2,
        pause_ms=20.0,
        rounds=3,
        repeats=2,
        other_busy_cores=0.5,
        notes=("BUSY MACHINE: very",),
        variants=(
            Variant(name="base", why="what the runtime does", threads=2),
            Variant(name="spinning", why="no waking", threads=2, entries={"a": "1"}),
        ),
        forms=(
            Form(name="as exported", why="the bundle's", written=None, loaded="ORT_ENABLE_ALL"),
            Form(name="all", why="as fast", written="ORT_ENABLE_ALL", loaded="ORT_DISABLE_ALL"),
        ),
        summary=summarise(records),
        records=tuple(records),
    )
