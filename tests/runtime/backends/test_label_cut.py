"""The end that makes labels is cut off the graphs that have it, on every CPU engine; of others nothing."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.runtime.backends.graph_edits import edited, rename

from tdnet_runtime.backends import label_cut, openvino
from tdnet_runtime.backends.label_cut import CutGraph, cut_labels
from tdnet_runtime.errors import BackendError
from tdnet_runtime.manifest import GraphSpec, TensorSpec
from tdnet_runtime.media.scene import render
from tdnet_runtime.segmenter import Segmenter

OPENVINO = pytest.mark.skipif(openvino.unavailable() is not None, reason="OpenVINO is not installed")
LABELS = TensorSpec(name="labels", shape=(1, 33, 41), dtype="uint8")
LOGITS = TensorSpec(name="logits", shape=(1, 3, 33, 41), dtype="float32")
VALUE = TensorSpec(name="value", shape=(1, 4, 5, 6), dtype="float32")


def spec(*outputs: TensorSpec) -> GraphSpec:
    return GraphSpec(name="own1", inputs=(VALUE,), outputs=outputs, members={"fp32": "own1.onnx"})


@pytest.fixture
def model() -> bytes:
    """A head of one convolution, and the exporter's end."""
    node = helper.make_node
    aligned = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
    weight = np.random.default_rng(0).standard_normal((3, 4, 1, 1)).astype(np.float32)
    graph = helper.make_graph(
        [
            node("Conv", ["value", "weight"], ["head/classes"], name="classes"),
            node("Resize", ["head/classes", "", "", "sizes"], ["logits"], name="upsample", **aligned),
            node("ArgMax", ["logits"], ["best"], axis=1, keepdims=0),
            node("Cast", ["best"], ["exact"], to=TensorProto.FLOAT),
            node("Cast", ["exact"], ["labels"], to=TensorProto.UINT8),
        ],
        "own1",
        [helper.make_tensor_value_info("value", TensorProto.FLOAT, VALUE.shape)],
        [helper.make_tensor_value_info("labels", TensorProto.UINT8, LABELS.shape)],
        [
            numpy_helper.from_array(weight, "weight"),
            numpy_helper.from_array(np.array([1, 3, 33, 41]), "sizes"),
        ],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    ).SerializeToString()


def outputs(data: bytes) -> list[str]:
    return [output.name for output in onnx.load_model_from_string(data).graph.output]


def kinds(data: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_model_from_string(data).graph.node]


def show_logits(graph: onnx.GraphProto) -> None:
    graph.output.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, LOGITS.shape))


def test_the_end_is_cut_off(model: bytes) -> None:
    cut = cut_labels(spec(LABELS), model)
    assert (cut.outputs, cut.labels, cut.classes) == ((), LABELS, 3)
    assert (kinds(cut.data), outputs(cut.data)) == (["Conv"], ["scores"])
    found = onnx.load_model_from_string(cut.data)
    assert found.graph.initializer[0] == onnx.load_model_from_string(model).graph.initializer[0]
    assert (found.ir_version, found.opset_import[0].version, found.graph.name) == (8, 17, "own1")


def test_upsampled_scores_are_given_where_they_are_asked_for(model: bytes) -> None:
    whole = edited(model, show_logits)
    cut = cut_labels(spec(LABELS, LOGITS), whole)
    assert (cut.outputs, cut.labels) == ((LOGITS,), LABELS)
    assert (kinds(cut.data), outputs(cut.data)) == (["Conv", "Resize"], ["logits", "scores"])
    value = np.random.default_rng(1).standard_normal(VALUE.shape).astype(np.float32)
    expected, found = (
        onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(
            ["logits"], {"value": value}
        )
        for data in (whole, cut.data)
    )
    assert np.array_equal(expected, found)


def test_the_end_of_older_bundles(model: bytes) -> None:
    """One Cast."""

    def edit(graph: onnx.GraphProto) -> None:
        graph.node.pop(3)
        graph.node[3].input[0] = "best"

    cut = cut_labels(spec(LABELS), edited(model, edit))
    assert (kinds(cut.data), outputs(cut.data)) == (["Conv"], ["scores"])


def test_a_graph_without_labels(model: bytes) -> None:
    whole = cut_labels(spec(LOGITS), model)
    assert (whole.data is model, whole.outputs, whole.labels) == (True, (LOGITS,), None)


def attribute(node: int, name: str, value: object) -> Callable[[onnx.GraphProto], None]:
    def edit(graph: onnx.GraphProto) -> None:
        kept = [each for each in graph.node[node].attribute if each.name != name]
        del graph.node[node].attribute[:]
        graph.node[node].attribute.extend([*kept, helper.make_attribute(name, value)])

    return edit


def sizes(*sides: int) -> Callable[[onnx.GraphProto], None]:
    return lambda graph: graph.initializer[1].CopyFrom(numpy_helper.from_array(np.array(sides), "sizes"))


def read_again(value: str) -> Callable[[onnx.GraphProto], None]:
    return lambda graph: graph.node.append(helper.make_node("Identity", [value], ["copy"]))


def shown(value: str) -> Callable[[onnx.GraphProto], None]:
    return lambda graph: graph.output.append(helper.make_tensor_value_info(value, TensorProto.FLOAT, None))


EDITS: dict[str, Callable[[onnx.GraphProto], object]] = {
    "half pixels": attribute(1, "coordinate_transformation_mode", "half_pixel"),
    "nearest": attribute(1, "mode", "nearest"),
    "antialiased": attribute(1, "antialias", 1),
    "last of equal classes": attribute(2, "select_last_index", 1),
    "over rows": attribute(2, "axis", 2),
    "other type between": attribute(3, "to", TensorProto.BOOL),
    "other type": attribute(4, "to", TensorProto.INT8),
    "another size": sizes(1, 3, 33, 40),
    "two pictures": sizes(2, 3, 33, 41),
    "sizes that are computed": lambda g: rename(g, "sizes", "computed"),
    "scales": lambda g: g.node[1].input.__setitem__(2, "weight"),
    "another operator": lambda g: setattr(g.node[2], "op_type", "ArgMin"),
    "upsampled scores read again": read_again("logits"),
    "classes read again": read_again("best"),
    "labels read again": read_again("labels"),
    "classes given": shown("best"),
    "scores given": shown("head/classes"),
    "the name is taken": lambda g: rename(g, "value", "scores"),
    "scores are an input": lambda g: (g.node.pop(0), rename(g, "value", "head/classes")),
    "another name": lambda g: rename(g, "labels", "mask"),
    "three Casts": lambda g: (
        rename(g, "labels", "again"),
        g.node.append(helper.make_node("Cast", ["again"], ["labels"], to=TensorProto.UINT8)),
        setattr(g.output[0], "name", "labels"),
    ),
    "no ArgMax": lambda g: (g.node.pop(2), g.node[2].input.__setitem__(0, "logits")),
    "no nodes": lambda g: g.ClearField("node"),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_another_end_is_left_as_it_is(model: bytes, edit: Callable[[onnx.GraphProto], object]) -> None:
    other = edited(model, edit)
    assert other != model
    assert cut_labels(spec(LABELS), other).data is other


def test_bytes_that_are_no_model_are_left_to_the_engine(model: bytes) -> None:
    """Cut short, or damaged anywhere."""
    for length in range(len(model)):
        assert isinstance(cut_labels(spec(LABELS), model[:length]), CutGraph)
    random = np.random.default_rng(0)
    for _ in range(2000):
        damaged = bytearray(model)
        damaged[random.integers(len(model))] = random.integers(256)
        assert isinstance(cut_labels(spec(LABELS), bytes(damaged)), CutGraph)


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [
        ("float32", [1, 4, 5, 6]),
        ("float32", [2, 3, 5, 6]),
        ("float32", [1, 3, 34, 6]),
        ("float32", [1, 3, 5, 42]),
        ("float32", [1, 3, 0, 6]),
        ("float32", [3, 5, 6]),
        ("float32", [1, 3, "h", 6]),
        ("float32", "[1,3,?,6]"),
        ("int64", [1, 3, 5, 6]),
    ],
)
def test_scores_that_are_not_those_of_the_labels(model: bytes, dtype: str, shape: list[object]) -> None:
    cut = cut_labels(spec(LABELS), model)
    assert cut.scores("own1", "float16", [1, 3, 33, 41]).shape == (1, 3, 33, 41)
    with pytest.raises(
        BackendError,
        match=rf"^graph 'own1' makes labels of {dtype} \[\d.*, expected float32 \[1, 3, h, w\] .*Export again.$",
    ):
        cut.scores("own1", dtype, shape)


@pytest.mark.parametrize(
    ("engine", "name"),
    [
        *(("onnxruntime", name) for name in ("td2-psp50", "td4-psp18", "td2-fa18", "psp101")),
        *(pytest.param("openvino", name, marks=OPENVINO) for name in ("td2-fa18", "psp101")),
    ],
)
def test_labels_are_the_graphs_own(
    tiny_bundle: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, engine: str, name: str
) -> None:
    """Those that the engine makes of the whole graph; cold frames and warm ones."""
    backend = importlib.import_module(f"tdnet_runtime.backends.{engine}")
    found: list[np.ndarray] = []
    for cut in (True, False):
        if not cut:
            monkeypatch.setattr(backend, "cut_labels", lambda graph, data: CutGraph(data, graph.outputs))
        with Segmenter.open(tiny_bundle(name), backend=engine, threads=1) as segmenter:
            manifest = segmenter.manifest
            assert len(segmenter.backend._scores) == (len(manifest.paths) if cut else 0)  # type: ignore[attr-defined]
            height, width = manifest.input.height, manifest.input.width
            with segmenter.stream() as one, segmenter.stream() as two:
                for index in range(2 * len(manifest.paths) + 1):
                    image = render(index, height=height, width=width)
                    found.append(one.push(image).labels)
                    assert np.array_equal(two.push(image).labels, found[-1])
    half = len(found) // 2
    assert len(np.unique(found)) > 1
    assert np.mean(np.array(found[:half]) == np.array(found[half:])) >= 0.9999


def test_the_name_of_the_scores_is_no_tensor_of_a_bundle() -> None:
    """Else a graph could have it twice."""
    assert label_cut.SCORES not in ("image", "labels", "confidence", "logits", "warm", "query", "value")
