"""Attention in parts: the same values to the bit or nearly, and no more scores at once than a part has."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from tdnet_runtime.backends import ort_attention, ort_form
from tdnet_runtime.backends.ort_attention import has_large_scores
from tdnet_runtime.backends.ort_int8 import int8_form
from tdnet_runtime.manifest import GraphSpec, TensorSpec

HEIGHT, WIDTH, KEYS = 5, 7, 12


def spec(name, *shape):
    return TensorSpec(name=name, shape=shape, dtype="float32")


INPUTS = (
    spec("query", 1, 4, HEIGHT, WIDTH),
    spec("slot1_q", 4, KEYS),
    spec("slot1_k", 4, KEYS),
    spec("slot2_k", 4, KEYS),
    spec("slot2_v", 6, KEYS),
)
GRAPH = GraphSpec(name="apm", inputs=INPUTS, outputs=(spec("y", 6, HEIGHT * WIDTH),), members={})


def attention(query, key, values, name):
    return [
        helper.make_node("Gemm", [query, key], [f"{name}/scores"], name=f"{name}/scores", transA=1),
        helper.make_node("Softmax", [f"{name}/scores"], [f"{name}/shares"], name=f"{name}/shares", axis=1),
        helper.make_node("Gemm", [values, f"{name}/shares"], [f"{name}/mix"], name=f"{name}/mix", transB=1),
    ]


def model(*, seen=False):
    """Two hops, as td4's last ones: a slot's queries, then the frame's; `seen`: the shares are a result, too."""
    nodes = [
        *attention("slot1_q", "slot2_k", "slot2_v", "hop1"),
        helper.make_node("Reshape", ["query", "rows"], ["query_rows"], name="query_rows"),
        *attention("query_rows", "slot1_k", "hop1/mix", "hop2"),
        helper.make_node("Identity", ["hop2/mix"], ["y"], name="last"),
        *([helper.make_node("Identity", ["hop2/shares"], ["shares"], name="seen")] if seen else []),
    ]
    graph = helper.make_graph(
        nodes,
        "apm",
        [helper.make_tensor_value_info(each.name, TensorProto.FLOAT, each.shape) for each in INPUTS],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in (("y", [6, HEIGHT * WIDTH]), ("shares", [HEIGHT * WIDTH, KEYS]))[: 1 + seen]
        ],
        [numpy_helper.from_array(np.array([4, -1]), "rows")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def inputs():
    rng = np.random.default_rng(0)
    return {each.name: rng.normal(size=each.shape).astype(np.float32) for each in INPUTS}


def run(data, feeds=None):
    return ort.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, feeds or inputs())[0]


def kinds(data):
    return {node.op_type for node in onnx.load_model_from_string(data).graph.node}


@pytest.fixture
def stepped(monkeypatch):
    """The graph with the frame's attention in steps, 12 queries at once; the slot's own is as it was."""
    monkeypatch.setattr(ort_attention, "_FEWEST_IN_STEPS", 1)
    monkeypatch.setattr(ort_attention, "_LARGEST_SCORES", 12 * KEYS)
    data = int8_form(model().SerializeToString(), INPUTS, exact=True)
    onnx.checker.check_model(onnx.load_model_from_string(data), full_check=True)
    products = [node.name for node in onnx.load_model_from_string(data).graph.node if node.op_type == "Gemm"]
    assert products == ["hop1/scores", "hop1/mix"]
    return data


def off(data, feeds):
    """By how much each position is off: the norm of the difference over that of the values."""
    wanted = run(model().SerializeToString(), feeds)
    return np.linalg.norm(run(data, feeds) - wanted, axis=0) / np.linalg.norm(wanted, axis=0)


@pytest.mark.parametrize(
    ("largest", "parts"), [(HEIGHT * WIDTH * KEYS, []), (200, [12, 12, 11]), (13, [1] * 35)]
)
def test_the_values_are_the_same(largest, parts, monkeypatch):
    """The slot's own attention, of fewer scores, is taken apart where it has too many as well."""
    monkeypatch.setattr(ort_attention, "_LARGEST_SCORES", largest)
    data, without = ort_form.own_form(GRAPH, model().SerializeToString(), "fp32")
    assert without == []
    found = onnx.load_model_from_string(data)
    onnx.checker.check_model(found, full_check=True)
    assert np.allclose(run(data), run(model().SerializeToString()), rtol=1e-6, atol=1e-6)
    held = {tensor.name: numpy_helper.to_array(tensor).tolist() for tensor in found.graph.initializer}
    assert held.get("hop2/mix/lengths", []) == parts
    assert ("hop1/mix/lengths" in held) is (largest < KEYS * KEYS)
    types = {
        value.name: [side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in onnx.shape_inference.infer_shapes(found).graph.value_info
    }
    assert max(np.prod(shape) for name, shape in types.items() if "scores" in name) <= largest


def test_shares_that_are_read_elsewhere_stay(monkeypatch):
    monkeypatch.setattr(ort_attention, "_LARGEST_SCORES", 200)
    data, _ = ort_form.own_form(GRAPH, model(seen=True).SerializeToString(), "fp32")
    names = {node.name for node in onnx.load_model_from_string(data).graph.node}
    assert {"hop2/scores", "hop2/shares", "hop2/mix"} <= names


def test_which_graphs_have_large_scores():
    assert not has_large_scores(INPUTS)
    full = (spec("query", 1, 64, 96, 192), spec("slot2_k", 64, 2048))
    assert has_large_scores(full)
    assert not has_large_scores(full[:1])
    assert not has_large_scores(full[1:])
    assert not has_large_scores((TensorSpec(name="image", shape=(1, 768, 1536, 3), dtype="uint8"),))


def test_small_graphs_are_not_read():
    """As a bundle has it, whatever it is."""
    assert ort_form.own_form(GRAPH, b"no graph", "fp32") == (b"no graph", [])


def test_products_in_steps_are_near(stepped):
    assert np.median(off(stepped, inputs())) < 0.03


def test_what_all_keys_have_in_common_costs_no_steps(stepped):
    """It adds the same to all scores of a position."""
    feeds = inputs()
    feeds["slot1_k"] += 100
    assert np.median(off(stepped, feeds)) < 0.03


def test_each_channel_of_values_has_steps_of_its_own(stepped):
    feeds = inputs()
    feeds["slot2_v"][0] *= 1e5
    wanted, found = (run(data, feeds)[1:] for data in (model().SerializeToString(), stepped))
    assert np.linalg.norm(found - wanted) < 0.03 * np.linalg.norm(wanted)


def test_each_position_has_steps_of_its_own(monkeypatch):
    """One that looks at a single key, beside those that look at all of 600: a 600th is less than one of 255 steps."""
    monkeypatch.setattr(ort_attention, "_FEWEST_IN_STEPS", 1)
    specs = (spec("query", 1, 4, HEIGHT, WIDTH), spec("slot2_k", 4, 600), spec("slot2_v", 6, 600))
    nodes = [
        helper.make_node("Reshape", ["query", "rows"], ["query_rows"], name="query_rows"),
        *attention("query_rows", "slot2_k", "slot2_v", "hop2"),
    ]
    graph = helper.make_graph(
        nodes,
        "apm",
        [helper.make_tensor_value_info(each.name, TensorProto.FLOAT, each.shape) for each in specs],
        [helper.make_tensor_value_info("hop2/mix", TensorProto.FLOAT, [6, HEIGHT * WIDTH])],
        [numpy_helper.from_array(np.array([4, -1]), "rows")],
    )
    data = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    ).SerializeToString()
    rng = np.random.default_rng(0)
    feeds = {each.name: rng.normal(size=each.shape).astype(np.float32) for each in specs}
    feeds["slot2_v"] += 1
    feeds["query"] *= 0.1
    feeds["query"][0, :, 2, 3] = 20 * feeds["slot2_k"][:, 5]
    wanted, found = (run(each, feeds) for each in (data, int8_form(data, specs, exact=True)))
    assert np.abs(found - wanted).max() < 0.1


def test_no_values_give_none(stepped):
    """A cold memory's: to the bit, as labels without attention have them."""
    feeds = inputs()
    feeds["slot2_v"][:] = 0
    assert not run(stepped, feeds).any()


@pytest.mark.parametrize(
    ("exact", "fewest", "most"),
    [(True, HEIGHT * WIDTH * KEYS + 1, 99), (False, 1, 99), (True, 1, KEYS - 1)],
    ids=["few scores", "inexact sums", "many keys"],
)
def test_products_that_stay_in_floats(exact, fewest, most, monkeypatch):
    """Where 16 bits hold a pair of products, 255·127 twice is too much; as 66,312 times is for 32 bits."""
    monkeypatch.setattr(ort_attention, "_FEWEST_IN_STEPS", fewest)
    monkeypatch.setattr(ort_attention, "_MOST_KEYS_IN_STEPS", most)
    data = int8_form(model().SerializeToString(), INPUTS, exact=exact)
    assert "MatMulInteger" not in kinds(data)
    assert np.array_equal(run(data), run(model().SerializeToString()))


def test_no_fp32_graph_gets_steps(monkeypatch):
    monkeypatch.setattr(ort_attention, "_FEWEST_IN_STEPS", 1)
    monkeypatch.setattr(ort_attention, "_LARGEST_SCORES", 200)
    data, _ = ort_form.own_form(GRAPH, model().SerializeToString(), "fp32")
    assert "MatMulInteger" not in kinds(data)


def test_onnx_runtime_computes_scores_in_one_operation(stepped, tmp_path):
    """A product, its scale and what is summed: it fuses what is written apart here."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 4
    ort.InferenceSession(stepped, options, providers=["CPUExecutionProvider"])
    assert "DynamicQuantizeMatMul" in kinds((tmp_path / "optimised.onnx").read_bytes())
