"""A graph's part of past frames, cut off: what it is, that the two are the whole, and what is left as it is."""

from __future__ import annotations

import gc
import importlib
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.runtime.backends.graph_edits import edited, rename

from tdnet_runtime.backends import openvino, ort_attention
from tdnet_runtime.backends.label_cut import CutGraph
from tdnet_runtime.backends.past_split import PAST, attends_among_past_frames, split_past
from tdnet_runtime.bundle import Bundle, write_bundle
from tdnet_runtime.errors import BackendError
from tdnet_runtime.manifest import GraphSpec
from tdnet_runtime.media.scene import render
from tdnet_runtime.segmenter import Segmenter
from tdnet_runtime.stream import StreamState

ENGINES = [
    "onnxruntime",
    pytest.param(
        "openvino",
        marks=pytest.mark.skipif(openvino.unavailable() is not None, reason="OpenVINO is not installed"),
    ),
]
NEWEST = {1: 4, 2: 1, 3: 2, 4: 3}
"""By path: the slot of the frame before."""
Graphs = dict[str, tuple[GraphSpec, bytes]]


@pytest.fixture(scope="module")
def graphs(tiny_bundle: Callable[[str], Path]) -> Graphs:
    """Those of a tiny td4-psp18, by name."""
    with Bundle.open(tiny_bundle("td4-psp18")) as bundle:
        return {graph.name: (graph, bundle.read(graph.members["fp32"])) for graph in bundle.manifest.graphs}


def pairs(names: Sequence[str]) -> Callable[[onnx.GraphProto], None]:
    """Steps of INT8 behind these values, which all who read them read."""

    def edit(graph: onnx.GraphProto) -> None:
        nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in graph.node]
        for name in names:
            scale, zero, steps, restored = (f"{name}/{leaf}" for leaf in ("scale", "zero", "q", "dq"))
            graph.initializer.append(numpy_helper.from_array(np.float32(1 / 64), scale))
            graph.initializer.append(numpy_helper.from_array(np.int8(0), zero))
            for node in nodes:
                node.input[:] = [restored if each == name else each for each in node.input]
            made = [index for index, node in enumerate(nodes) if name in node.output]
            nodes[made[0] + 1 if made else 0 : made[0] + 1 if made else 0] = [
                helper.make_node("QuantizeLinear", [name, scale, zero], [steps], name=steps),
                helper.make_node("DequantizeLinear", [steps, scale, zero], [restored], name=restored),
            ]
        del graph.node[:]
        graph.node.extend(nodes)

    return edit


def quantised_attention(path: int) -> Callable[[onnx.GraphProto], None]:
    """Steps before, in and at the end of the past frames' part; of odd paths in the key of the frame before, too.

    (ONNX Runtime's own form has other ones for that key where it is a float.)
    """
    newest = NEWEST[path]
    older = NEWEST[newest]
    return pairs(
        [
            *(f"slot{newest}_{leaf}" for leaf in ("kv" if path % 2 else "v")),
            f"slot{older}_v",
            f"hop{older}/updated",
            f"hop{newest}/project",
        ]
    )


@pytest.fixture
def int8_plan(graphs: Graphs, tiny_bundle: Callable[[str], Path], tmp_path: Path) -> Path:
    """The tiny td4-psp18 with steps in its attention, as no exporter puts them there yet, and in its sub-networks none."""
    with Bundle.open(tiny_bundle("td4-psp18")) as bundle:
        manifest = bundle.manifest
    members, specs = {}, []
    for name, (graph, data) in graphs.items():
        member = f"graphs/int8/{name}.onnx"
        members[member] = edited(data, quantised_attention(int(name[-1]))) if name.startswith("apm") else data
        specs.append(msgspec.structs.replace(graph, members={"int8": member}))
    path = tmp_path / "int8.plan"
    write_bundle(path, msgspec.structs.replace(manifest, graphs=tuple(specs), parity={}, members={}), members)
    return path


def whole(graph: GraphSpec, data: bytes) -> CutGraph:
    return CutGraph(data, graph.outputs)


def names(model: onnx.ModelProto) -> tuple[set[str], list[str]]:
    return {value.name for value in model.graph.input}, [value.name for value in model.graph.output]


def kinds(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("path", [1, 2, 3, 4])
def test_what_is_cut_off(graphs: Graphs, path: int) -> None:
    """All that does not depend on the current frame, and each weight once."""
    graph, data = graphs[f"apm{path}"]
    past, (rest_spec, rest) = split_past(graph, whole(graph, data))
    assert past is not None
    spec, cut = past
    first, second = (onnx.load_model_from_string(each.data) for each in (cut, rest))
    model = onnx.load_model_from_string(data)
    hop = ["ReduceMean", "Sub", "MatMul", "Gemm", "Softmax", "Gemm", "Add"]
    assert kinds(first) == [*hop, *hop, *hop[:3]]
    assert kinds(first) + kinds(second) == kinds(model)
    newest = NEWEST[path]
    assert {each.name for each in graph.inputs} - {each.name for each in spec.inputs} == {
        "query", "value", "warm", f"slot{newest}_k",
    }  # fmt: skip
    assert names(first) == ({each.name for each in spec.inputs}, [PAST])
    assert names(second) == ({"query", "value", "warm", f"slot{newest}_k", PAST}, ["labels"])
    assert {each.name for each in rest_spec.inputs} == names(second)[0]
    assert (rest_spec.outputs, rest.outputs) == (graph.outputs, graph.outputs)
    assert spec.outputs == cut.outputs == tuple(each for each in rest_spec.inputs if each.name == PAST)
    held = [{each.name for each in part.graph.initializer} for part in (first, second)]
    assert not held[0] & held[1]
    assert held[0] | held[1] == {each.name for each in model.graph.initializer}


@pytest.mark.parametrize("steps", [False, True])
def test_the_two_are_the_whole(graphs: Graphs, steps: bool) -> None:
    graph, data = graphs["apm1"]
    if steps:
        data = edited(data, quantised_attention(1))
    past, (_, rest) = split_past(graph, whole(graph, data))
    assert past is not None
    if steps:  # what is handed over was not rounded yet
        assert kinds(onnx.load_model_from_string(past[1].data))[-1] == "MatMul"
    rng = np.random.default_rng(0)
    feeds = {each.name: rng.standard_normal(each.shape).astype(np.float32) for each in graph.inputs}
    feeds["warm"][:] = 1

    def run(data: bytes, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        inputs = {each.name: given[each.name] for each in session.get_inputs()}
        return dict(
            zip((each.name for each in session.get_outputs()), session.run(None, inputs), strict=True)
        )

    expected = run(edited(data, shown), feeds)
    found = run(edited(rest.data, shown), feeds | run(past[1].data, feeds))
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    feeds["slot2_v"][0, 0] += 1
    assert not np.array_equal(run(edited(data, shown), feeds)["recomposed"], expected["recomposed"])


def shown(graph: onnx.GraphProto) -> None:
    graph.output.append(helper.make_tensor_value_info("recomposed", TensorProto.FLOAT, None))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_results_are_the_whole_graphs(
    tiny_bundle: Callable[[str], Path],
    int8_plan: Path,
    monkeypatch: pytest.MonkeyPatch,
    engine: str,
    precision: str,
) -> None:
    """In both orders, and those of the graph that nothing was cut off from; INT8 in ONNX Runtime's own form."""
    monkeypatch.setattr(ort_attention, "_FEWEST_IN_STEPS", 1)
    plan = int8_plan if precision == "int8" else tiny_bundle("td4-psp18")
    backend = importlib.import_module(f"tdnet_runtime.backends.{engine}")

    def labels(*, split: bool) -> Iterator[list[np.ndarray]]:
        with Segmenter.open(plan, backend=engine, precision=precision, threads=1) as segmenter:
            assert len(segmenter.backend._pasts) == 4 * split  # type: ignore[attr-defined]
            for every in (0, 1, 2):
                with segmenter.stream() as stream:
                    found = []
                    for index in range(12):
                        if every and index % every == 0:
                            stream.prepare()
                        found.append(stream.push(render(index, height=65, width=97)).labels)
                    yield found

    halves = list(labels(split=True))
    monkeypatch.setattr(backend, "split_past", lambda graph, cut: (None, (graph, cut)))
    expected = list(labels(split=False))
    assert len(np.unique(expected)) > 1
    assert all(np.array_equal(found, halves[0]) for found in halves)
    assert np.mean(np.array(halves) == np.array(expected)) >= (1 if engine == "onnxruntime" else 0.9999)


@pytest.mark.parametrize("engine", ENGINES)
def test_both_parts_are_counted_and_released(
    tiny_bundle: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    """Threads for each graph, and nothing held by a segmenter and a stream that were closed."""
    backend = importlib.import_module(f"tdnet_runtime.backends.{engine}")
    said: list[str] = []
    plan = tiny_bundle("td4-psp18")  # first of all: its export asks for threads, too
    monkeypatch.setattr(backend, "require_threads", lambda count, *, engine, purpose: said.append(purpose))
    segmenter = Segmenter.open(plan, backend=engine, threads=1)
    stream = segmenter.stream()
    stream.push(render(0, height=65, width=97))
    (purpose,) = said
    assert "each of 12 graphs" in purpose
    parts = [weakref.ref(part) for part in segmenter.backend._pasts.values()]  # type: ignore[attr-defined]
    assert len(parts) == 4
    segmenter.close()
    gc.collect()
    assert [part() for part in parts] == [None] * 4
    assert stream.state is StreamState.CLOSED


@pytest.mark.parametrize("name", ["td2-psp50", "td2-fa18", "psp101"])
def test_other_networks_have_no_such_part(tiny_bundle: Callable[[str], Path], name: str) -> None:
    with Segmenter.open(tiny_bundle(name), backend="onnxruntime", threads=1) as segmenter:
        assert not any(map(attends_among_past_frames, segmenter.manifest.graphs))
        assert not segmenter.backend._pasts  # type: ignore[attr-defined]


def second_value(graph: onnx.GraphProto) -> None:
    graph.node.append(helper.make_node("Add", ["hop3/updated", "warm"], ["more"]))


EDITS: dict[str, Callable[[onnx.GraphProto], object]] = {
    "two values are read": second_value,
    "the value is given": lambda g: g.output.append(
        helper.make_tensor_value_info("hop4/project", TensorProto.FLOAT, None)
    ),
    "the name is taken": lambda g: rename(g, "hop2/mix", PAST),
    "an input that is not stated": lambda g: g.input.append(
        helper.make_tensor_value_info("gain", TensorProto.FLOAT, [1])
    ),
    "an input that is not read": lambda g: [
        node.input.__setitem__(1, "slot3_k") for node in g.node if "slot2_k" in node.input
    ],
    "another name of an input": lambda g: rename(g, "slot2_v", "slot2_values"),
    "all need the frame": lambda g: [
        node.input.__setitem__(1, "warm") for node in g.node if node.op_type == "Sub"
    ],
    "no softmax": lambda g: [
        setattr(node, "op_type", "Relu") for node in g.node if node.op_type == "Softmax"
    ],
    "no nodes": lambda g: g.ClearField("node"),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_another_graph_is_left_as_it_is(graphs: Graphs, edit: Callable[[onnx.GraphProto], object]) -> None:
    graph, data = graphs["apm1"]
    other = whole(graph, edited(data, edit))
    assert other.data != data
    assert split_past(graph, other) == (None, (graph, other))


def test_bytes_that_are_no_model_are_left_to_the_engine(graphs: Graphs) -> None:
    """Cut short, or damaged anywhere."""
    graph, data = graphs["apm1"]
    random = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(data[: random.integers(len(data)) or None])
        damaged[random.integers(len(damaged))] = random.integers(256)
        _, (_, rest) = split_past(graph, whole(graph, bytes(damaged)))
        assert isinstance(rest, CutGraph)


def test_steps_in_a_circle_are_followed_to_an_end(graphs: Graphs) -> None:
    """No model has two values of one name, and the engine will say so."""
    graph, data = graphs["apm1"]

    def edit(graph: onnx.GraphProto) -> None:
        pairs(["hop4/project"])(graph)
        for node in graph.node:
            for values in (node.input, node.output):
                values[:] = ["hop4/project" if each == "hop4/project/dq" else each for each in values]

    _, (_, rest) = split_past(graph, whole(graph, edited(data, edit)))
    assert isinstance(rest, CutGraph)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_value_of_another_shape(graphs: Graphs, int8_plan: Path, engine: str) -> None:
    """Who wrote the bundle wrote this: one line, before anything is computed."""

    def turned(graph: onnx.GraphProto) -> None:
        """The part's last value the other way round, and again for who reads it."""
        for node in graph.node:
            node.input[:] = ["again" if each == "hop4/project" else each for each in node.input]
        at = next(index for index, node in enumerate(graph.node) if "hop4/project" in node.output)
        for node in (
            helper.make_node("Add", ["turned", "warm"], ["gated/turned"]),
            helper.make_node("Transpose", ["hop4/project"], ["turned"], perm=[1, 0]),
        ):
            graph.node.insert(at + 1, node)
        graph.node.insert(at + 3, helper.make_node("Transpose", ["gated/turned"], ["again"], perm=[1, 0]))

    with Bundle.open(int8_plan) as bundle:
        members = {name: bundle.read(name) for name in bundle.manifest.members}
        members["graphs/int8/apm1.onnx"] = edited(graphs["apm1"][1], turned)
        write_bundle(int8_plan, msgspec.structs.replace(bundle.manifest, parity={}, members={}), members)
    with pytest.raises(
        BackendError, match=r"^graph 'apm1' does not have the tensors .*past: graph .*Export again.$"
    ):
        Segmenter.open(int8_plan, backend=engine, precision="int8", threads=1)
