from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("onnx")

from tdnet_bench.roofline import ceilings  # after the skip
from tdnet_bench.roofline.ceilings import best_seconds, measure_ceilings
from tdnet_bench.roofline.costs import graph_cost
from tdnet_bench.roofline.libraries import LIBRARIES
from tdnet_bench.roofline.probes import Probe
from tdnet_runtime.errors import MissingExtraError, OptionError

CONV = Probe(name="conv", shape=(1, 8, 9, 11), kernel=3, dilation=2, depth=2)
PRODUCT = Probe(name="product", shape=(16, 8), depth=3)


class FakeLibrary:
    """Computes nothing; keeps what it was given."""

    name = "fake"
    precisions: tuple[str, ...] = ("fp32", "int8")
    host_memory = True

    def __init__(self) -> None:
        self.loaded: list[tuple[str, bytes, tuple[int, ...]]] = []

    def load(self, model: bytes, x: Any, *, precision: str) -> Callable[[], object]:
        self.loaded.append((precision, model, x.shape))
        return lambda: None


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeLibrary:
    library = FakeLibrary()
    monkeypatch.setitem(LIBRARIES, "fake", lambda threads: library)
    return library


def clock(*durations: float) -> Callable[[], float]:
    """Readings around runs of these durations, with idle time between them."""
    now, readings = 0.0, []
    for duration in durations:
        readings += [now, now + duration]
        now += duration + 1000
    return iter(readings).__next__


def test_the_fastest_run_counts_and_the_first_is_not_timed() -> None:
    runs: list[None] = []
    assert best_seconds(lambda: runs.append(None), budget_s=0, clock=clock(4, 2, 3)) == (2, 3)
    assert len(runs) == 4


def test_runs_are_repeated_until_the_budget_is_spent() -> None:
    assert best_seconds(lambda: None, budget_s=10, clock=clock(3, 3, 3, 3, 1)) == (3, 4)


def test_onnxruntime_is_measured() -> None:
    pytest.importorskip("onnxruntime")
    found = measure_ceilings(
        ["onnxruntime"], threads=2, budget_s=0, probes=[CONV, PRODUCT], copy_mib=[1, 0.5]
    )
    assert found.notes == ()
    assert [(ceiling.library, ceiling.precision) for ceiling in found.compute] == [
        ("onnxruntime", "fp32"),
        ("onnxruntime", "int8"),
    ]
    for ceiling in found.compute:
        assert [rate.probe for rate in ceiling.probes] == ["conv", "product"]
        assert ceiling.gflop_per_s == max(rate.gflop_per_s for rate in ceiling.probes) > 0
    assert [copy.footprint_bytes for copy in found.copies] == [2**19, 2**20]
    assert all(copy.gb_per_s > 0 and copy.method in {"onnxruntime", "numpy"} for copy in found.copies)


def test_openvino_is_measured() -> None:
    pytest.importorskip("openvino")
    found = measure_ceilings(["openvino"], threads=2, budget_s=0, probes=[CONV, PRODUCT], copy_mib=[1])
    assert found.notes == ()
    precisions = [ceiling.precision for ceiling in found.compute]
    assert {"fp32", "int8"} <= set(precisions) <= {"fp32", "bf16", "int8"}
    assert all(ceiling.gflop_per_s > 0 for ceiling in found.compute)


def test_each_precision_gets_its_graphs(fake: FakeLibrary) -> None:
    found = measure_ceilings(["fake"], threads=1, budget_s=0, probes=[CONV], copy_mib=[1])
    assert [(ceiling.library, ceiling.precision) for ceiling in found.compute] == [
        ("fake", "fp32"),
        ("fake", "int8"),
    ]
    kinds = [(precision, set(graph_cost("g", model).matrix_flops)) for precision, model, _ in fake.loaded]
    assert kinds == [("fp32", {"float32"}), ("int8", {"int8"}), ("fp32", set())]  # the last one copies
    assert [shape for _, _, shape in fake.loaded] == [CONV.shape, CONV.shape, (64, 2048)]


def test_memory_of_a_device_is_not_measured_with_numpy(
    fake: FakeLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake, "host_memory", False)
    # NumPy's copy would be far slower than the fake's, so look at what was tried
    tried: list[Any] = []
    monkeypatch.setattr(ceilings, "best_seconds", lambda run, **_: (tried.append(run), (1.0, 3))[1])
    measure_ceilings(["fake"], threads=1, probes=[], copy_mib=[1])
    assert len(tried) == 1


def test_a_library_that_is_not_installed_is_noted(monkeypatch: pytest.MonkeyPatch, fake: FakeLibrary) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    found = measure_ceilings(["openvino", "fake"], threads=1, budget_s=0, probes=[CONV], copy_mib=[])
    assert {ceiling.library for ceiling in found.compute} == {"fake"}
    (note,) = found.notes
    assert note.startswith("ceilings of openvino were NOT measured: ")
    assert "pip install 'tdnet-deploy[openvino]'" in note


def test_a_library_that_fails_is_noted(fake: FakeLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(model: bytes, x: Any, *, precision: str) -> Callable[[], object]:
        if precision == "int8":
            raise RuntimeError("no such kernel")
        return lambda: None

    monkeypatch.setattr(fake, "load", load)
    found = measure_ceilings(["fake"], threads=1, budget_s=0, probes=[CONV], copy_mib=[1])
    assert [ceiling.precision for ceiling in found.compute] == ["fp32"]
    assert found.notes == ("the ceiling of fake in int8 was NOT measured: no such kernel",)
    assert len(found.copies) == 1


def test_an_unknown_library_is_refused() -> None:
    with pytest.raises(OptionError, match=r"no library 'magic'; known are: onnxruntime, openvino"):
        measure_ceilings(["magic"], threads=1)


def test_without_onnx_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"tdnet-deploy\[bench\]"):
        measure_ceilings(["onnxruntime"], threads=1)
