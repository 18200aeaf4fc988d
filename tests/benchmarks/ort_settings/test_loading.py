"""Graphs optimised beforehand, and loaded in turn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from tdnet_bench.ort_settings.loading import FORMS, graphs_in_form, sessions_of_form, timed_loads
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.errors import BackendError

ort = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def graphs(tiny_bundle: Callable[[str], Path]) -> dict[str, bytes]:
    pytest.importorskip("torch")
    with Bundle.open(tiny_bundle("td4-psp18")) as bundle:
        return {name: bundle.read(f"graphs/fp32/{name}.onnx") for name in ("subnet1", "apm1")}


def test_the_forms(graphs: dict[str, bytes]) -> None:
    found = {form.name: graphs_in_form(form, graphs, ort, threads=1) for form in FORMS}
    assert all(list(form) == ["subnet1", "apm1"] for form in found.values())
    assert found["as exported"] == graphs
    for name in ("extended", "extended, then all", "all"):
        before = onnx.load_from_string(graphs["subnet1"]).graph.node
        after = onnx.load_from_string(found[name]["subnet1"]).graph.node
        assert {"FusedConv"} & {node.op_type for node in after} or any(node.domain for node in after), name
        # its layout for processors with AVX-512 brings nodes of its own
        assert sum(not node.op_type.startswith("Reorder") for node in after) < len(before), name
    assert found["extended"] == found["extended, then all"]
    assert all(data[4:8] == b"ORTM" for data in found["all, ORT format"].values())  # its flatbuffers' mark


def test_a_form_is_loaded_as_it_says(graphs: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    levels = []
    make = ort.InferenceSession

    def note(data: bytes, options: object, **others: object) -> object:
        levels.append(str(options.graph_optimization_level).rpartition(".")[2])  # type: ignore[attr-defined]
        return make(data, options, **others)

    monkeypatch.setattr(ort, "InferenceSession", note)
    for form in FORMS:
        levels.clear()
        kept = graphs_in_form(form, graphs, ort, threads=1)
        assert levels == ([] if form.written is None else [form.written] * 2), form.name
        levels.clear()
        assert list(sessions_of_form(form, kept, ort, threads=1)) == ["subnet1", "apm1"]
        assert levels == [form.loaded] * 2, form.name


def test_they_are_loaded_in_turn_and_let_go() -> None:
    now_ns = 0
    given: list[dict[str, Any]] = []
    ticks: list[int] = []

    def loads_in(ns: int) -> Callable[[], dict[str, Any]]:
        def load() -> dict[str, Any]:
            nonlocal now_ns
            assert all(not sessions for sessions in given)  # those before are no more
            now_ns += ns
            given.append({"subnet1": object()})
            return given[-1]

        return load

    loads = {"a": loads_in(3), "b": loads_in(5)}
    records = list(timed_loads(loads, "form", repeats=3, clock=lambda: now_ns, tick=lambda: ticks.append(1)))
    assert [(r.repeat, r.name, r.turn) for r in records] == [
        (0, "a", 0), (0, "b", 1), (1, "b", 0), (1, "a", 1), (2, "a", 0), (2, "b", 1),
    ]  # fmt: skip
    assert [r.load_ns for r in records] == [3, 5, 5, 3, 3, 5]
    assert {r.of for r in records} == {"form"}
    assert len(ticks) == 6


def test_a_graph_that_is_refused() -> None:
    with pytest.raises(BackendError, match=r"^ONNX Runtime cannot load graph 'apm1': "):
        sessions_of_form(FORMS[0], {"apm1": b"no graph"}, ort, threads=1)


def test_no_room_for_temporary_files(
    graphs: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime writes nothing and says nothing."""
    form = next(form for form in FORMS if form.name == "all")
    monkeypatch.setattr("tdnet_bench.ort_settings.loading.load_graph", lambda *others: None)
    with pytest.raises(
        BackendError, match=r"^ONNX Runtime wrote no optimised graph 'subnet1': .*; make room for temporary"
    ):
        graphs_in_form(form, graphs, ort, threads=1)
