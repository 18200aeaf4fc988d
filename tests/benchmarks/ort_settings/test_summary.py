"""Figures worked out by hand."""

from __future__ import annotations

from typing import Literal

import pytest

from tdnet_bench.ort_settings.records import AnyRecord, CallRecord, FileRecord, LoadRecord, VariantRecord
from tdnet_bench.ort_settings.summary import FormSummary, summarise

MS = 1_000_000


def call(index: int, graph: str, variant: str, ms: float) -> CallRecord:
    return CallRecord(round=index, graph=graph, variant=variant, turn=0, call_ns=round(ms * MS))


def load(of: Literal["variant", "form"], name: str, repeat: int, ms: float) -> LoadRecord:
    return LoadRecord(of=of, name=name, repeat=repeat, turn=0, load_ns=round(ms * MS))


def test_the_figures() -> None:
    times = {
        ("subnet1", "base"): (10, 20, 90),
        ("subnet1", "spinning"): (40, 30, 60),
        ("apm1", "base"): (4, 5, 6),
        ("apm1", "spinning"): (2, 1, 9),
    }
    records: list[AnyRecord] = [
        VariantRecord(variant="base", labels_equal=1.0),
        VariantRecord(variant="spinning", labels_equal=0.75),
    ]
    # Rounds come in an order that is not that of the calls within them: pairs are by round.
    for (graph, variant), ms in times.items():
        order = (2, 0, 1) if variant == "base" else (0, 1, 2)
        records += [call(index, graph, variant, ms[index]) for index in order]
    records += [FileRecord(form="as exported", size_bytes=100), FileRecord(form="all", size_bytes=200)]
    for repeat, (plain, optimised) in enumerate([(9, 3), (7, 1), (8, 8), (1, 2)]):
        records += [load("form", "as exported", repeat, plain), load("form", "all", repeat, optimised)]
    # A variant and a form of one name are two things.
    records += [FileRecord(form="base", size_bytes=300), load("form", "base", 0, 1000)]
    for repeat, (base_ms, spinning_ms) in enumerate([(110, 90), (100, 150), (300, 120)]):
        records += [
            load("variant", "base", repeat, base_ms),
            load("variant", "spinning", repeat, spinning_ms),
        ]
    found = summarise(records)

    assert list(found.variants) == ["base", "spinning"]
    base, spinning = found.variants["base"], found.variants["spinning"]
    assert (base.load_ms, base.labels_equal) == (110, 1)
    assert (spinning.load_ms, spinning.labels_equal) == (120, 0.75)
    assert {graph: figures.median_ms for graph, figures in base.graphs.items()} == {"subnet1": 20, "apm1": 5}
    assert {graph: figures.ratio for graph, figures in base.graphs.items()} == {"subnet1": None, "apm1": None}
    subnet, apm = spinning.graphs["subnet1"], spinning.graphs["apm1"]
    assert (subnet.median_ms, apm.median_ms) == (40, 2)
    assert subnet.ratio is not None
    assert apm.ratio is not None
    assert subnet.ratio.pairs == apm.ratio.pairs == 3
    assert subnet.ratio.median_of_pairs == 30 / 20  # of 4, 1.5 and 0.667
    assert apm.ratio.median_of_pairs == 2 / 4  # of 0.5, 0.2 and 1.5
    assert (subnet.ratio.low, subnet.ratio.high) == pytest.approx((60 / 90, 40 / 10))  # 3 pairs: the extremes
    assert found.forms == {
        "as exported": FormSummary(size_bytes=100, load_ms=7.5),  # of 1, 7, 8 and 9
        "all": FormSummary(size_bytes=200, load_ms=2.5),  # of 1, 2, 3 and 8
        "base": FormSummary(size_bytes=300, load_ms=1000),
    }


def test_one_round_has_no_interval() -> None:
    records: list[AnyRecord] = [VariantRecord(variant=name, labels_equal=1) for name in ("base", "no arena")]
    records += [load("variant", name, 0, 1) for name in ("base", "no arena")]
    records += [call(0, "subnet1", "base", 4), call(0, "subnet1", "no arena", 3)]
    ratio = summarise(records).variants["no arena"].graphs["subnet1"].ratio
    assert ratio is not None
    assert (ratio.median_of_pairs, ratio.low, ratio.high) == (0.75, None, None)
