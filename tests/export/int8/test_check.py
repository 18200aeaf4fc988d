"""An INT8 graph must be the FP32 graph with symmetric pairs in it; every other difference is found."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.export.int8.conftest import confidence_graph

from tdnet_export.int8.check import check_int8, int8_share
from tdnet_export.int8.islands import INT8_ISLANDS, stays_single
from tdnet_export.int8.quantisers import partly_quantised, quantised_inputs
from tdnet_runtime.errors import ExportError

SCALES = {"trunk/layer1/0/conv1/conv": 0.05, "trunk/layer2/0/conv2/conv": 0.05}
FIRST = "trunk/layer1/0/conv1"


@pytest.fixture
def original(tiny_graphs):
    return tiny_graphs("td4-psp18")[0]["subnet1"]


@pytest.fixture
def model(original, quantised_by_hand):
    return quantised_by_hand(original, SCALES)


def constant(model, name):
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == name)
    return tensor


def change(model, name, edit):
    tensor = constant(model, name)
    tensor.CopyFrom(numpy_helper.from_array(edit(numpy_helper.to_array(tensor).copy()), name))


def node(model, name):
    (found,) = (node for node in model.graph.node if node.name == name)
    return found


def test_pairs_are_let_through(model, original):
    check_int8(model, original)


def test_corrected_biases_are_let_through(model, original):
    change(model, f"{FIRST}/bias", lambda values: values + 0.1)
    check_int8(model, original)


def unsigned_input(model):
    change(model, f"{FIRST}/conv/x/zero", lambda values: values.astype(np.uint8))


def test_unsigned_steps_are_let_through_where_they_are_symmetric(model, original):
    unsigned_input(model)
    check_int8(model, original)


def island(model):
    """The normalised image in INT8."""
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.float32(0.02).reshape(()), "i/scale"),
            numpy_helper.from_array(np.zeros((), np.int8), "i/zero"),
        ]
    )
    at = next(index for index, node in enumerate(model.graph.node) if node.name == "normalise/mul")
    source = model.graph.node[at].input[0]
    model.graph.node.insert(
        at, helper.make_node("DequantizeLinear", ["i/q", "i/scale", "i/zero"], ["i"], name="b")
    )
    model.graph.node.insert(
        at, helper.make_node("QuantizeLinear", [source, "i/scale", "i/zero"], ["i/q"], name="a")
    )
    model.graph.node[at + 2].input[0] = "i"


def asymmetric(model):
    change(model, f"{FIRST}/conv/x/zero", lambda values: values + np.int8(3))


def other_source(model):
    node(model, f"{FIRST}/conv/x/q").input[0] = "normalise/mul"


def other_attribute(model):
    node(model, f"{FIRST}/conv").attribute.append(helper.make_attribute("group", 1))


def wired_anew(model):
    node(model, "trunk/layer1/0/conv2/conv").input[0] = "trunk/maxpool"


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (asymmetric, r"x/q' is not symmetric"),
        (island, r"'normalise/mul' reads INT8 and must not"),
        (wired_anew, r"'trunk/layer1/0/conv2/conv' reads 'trunk/maxpool' for 'trunk/layer1/0/conv1/relu'"),
        (other_attribute, r"'trunk/layer1/0/conv1/conv' is another node"),
        (
            lambda m: change(m, f"{FIRST}/conv/w/steps", lambda v: -v),
            "another constant 'trunk/layer1/0/conv1/weight'",
        ),
        (lambda m: change(m, f"{FIRST}/conv/w/scale", lambda v: v * 2), "another constant"),
        (lambda m: change(m, f"{FIRST}/conv/x/scale", lambda v: v * np.float32(np.inf)), "has the scale inf"),
        (
            lambda m: change(m, "trunk/stem/weight", lambda v: v * 1.01),
            "another constant 'trunk/stem/weight'",
        ),
        (lambda m: m.graph.output.reverse(), "its outputs differ"),
        (lambda m: setattr(node(m, "trunk/maxpool"), "name", "pool"), "its nodes differ"),
    ],
)
def test_what_is_found(model, original, edit, complaint):
    edit(model)
    with pytest.raises(
        ExportError, match=f"^graph 'subnet1' in INT8 is not the FP32 graph .*{complaint}.*--precision fp32"
    ):
        check_int8(model, original)


def test_what_is_not_onnx(model, original):
    node(model, "trunk/maxpool").op_type = "Teleport"
    with pytest.raises(ExportError, match=r"^graph 'subnet1' in INT8 is not valid ONNX"):
        check_int8(model, original)


def test_share_of_a_hand_computed_case():
    """A convolution with 4·4·2·(3·9) = 864 products in INT8; products with 4·5·2·4 and 5·8·6 in FP32."""
    tensors = {
        "steps": np.ones((2, 3, 3, 3), np.int8),
        "scale": np.float32(1).reshape(()),
        "zero": np.zeros((), np.int8),
        "matrix": np.ones((4, 5), np.float32),
        "shape": np.array([8, 5], np.int64),
        "left": np.ones((8, 6), np.float32),  # transposed
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], name="q"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["dq"], name="dq"),
        helper.make_node("DequantizeLinear", ["steps", "scale", "zero"], ["w"], name="w"),
        helper.make_node("Conv", ["dq", "w"], ["c"], name="c", pads=[1] * 4),
        helper.make_node("MatMul", ["c", "matrix"], ["m"], name="m"),
        helper.make_node("Reshape", ["m", "shape"], ["rows"], name="r"),
        helper.make_node("Gemm", ["left", "rows"], ["y"], name="y", transA=1),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [6, 5])],
        [numpy_helper.from_array(values, name) for name, values in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert int8_share(model) == pytest.approx(864 / (864 + 4 * 5 * 2 * 4 + 5 * 8 * 6))


def columns_graph(axis=None):
    """x → MatMul with a 3×4 matrix, whose columns have scales of their own along `axis`; None: in FP32."""
    matrix = np.arange(12, dtype=np.float32).reshape(3, 4) * np.float32([1, 0.1, 0.01, 10])
    scales = np.abs(matrix).max(0) / np.float32(127)
    tensors = {"matrix": matrix}
    nodes = [helper.make_node("MatMul", ["x", "matrix"], ["y"], name="m")]
    if axis is not None:
        tensors = {
            "steps": np.rint(matrix / scales).astype(np.int8),
            "scale": scales,
            "zero": np.zeros(4, np.int8),
        }
        nodes[0].input[1] = "w"
        nodes.insert(
            0, helper.make_node("DequantizeLinear", ["steps", "scale", "zero"], ["w"], name="w", axis=axis)
        )
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 4])],
        [numpy_helper.from_array(values, name) for name, values in tensors.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("axis", [1, -1])
def test_scales_of_columns_are_let_through(axis):
    check_int8(columns_graph(axis), columns_graph())


def test_scales_along_another_axis_are_not():
    with pytest.raises(ExportError, match=r"'m' has another constant 'matrix'"):
        check_int8(columns_graph(0), columns_graph())


def test_nothing_kept_is_the_original(model, original):
    found = partly_quantised(model, original, keep=lambda node: False)
    assert list(found.graph.node) == list(original.graph.node)
    assert {t.name: t for t in found.graph.initializer} == {t.name: t for t in original.graph.initializer}


def test_one_group_kept(model, original):
    change(model, f"{FIRST}/bias", lambda values: values + 1)
    change(model, "trunk/layer2/0/conv2/bias", lambda values: values + 1)
    found = partly_quantised(model, original, keep=lambda node: node.startswith("trunk/layer2"))
    check_int8(found, original)
    assert {pair.source for pair in quantised_inputs(found.graph).values()} == {
        "trunk/layer2/0/conv1/relu",
        "trunk/layer2/0/conv2/conv/w/steps",
    }
    assert constant(found, f"{FIRST}/bias") == constant(original, f"{FIRST}/bias")
    assert constant(found, "trunk/layer2/0/conv2/bias") == constant(model, "trunk/layer2/0/conv2/bias")


@pytest.mark.parametrize("name", ["td2-psp50", "td4-psp18", "td2-fa18", "psp101"])
def test_islands_leave_the_bulk(tiny_graphs, name):
    """The trunk, encodings and heads may all be INT8; every island is in some network."""
    models = tiny_graphs(name)[0]
    nodes = [node for model in models.values() for node in model.graph.node]
    free = {node.name for node in nodes if node.op_type == "Conv" and not stays_single(node.name)}
    assert {node.name for node in nodes if node.name.startswith("trunk/") and node.op_type == "Conv"} <= free
    assert "head/conv/conv" in free
    assert not any(stays_single(node.name) for node in nodes if node.name.startswith("trunk/"))
    for kind in ("Softmax", "LayerNormalization", "Resize", "ArgMax", "ReduceMean", "ReduceL2", "MatMul"):
        assert all(stays_single(node.name) for node in nodes if node.op_type == kind)


def test_every_island_is_there(tiny_graphs):
    names = [
        node.name
        for network in ("td4-psp18", "td2-fa18", "psp101")
        for model in tiny_graphs(network)[0].values()
        for node in model.graph.node
    ]
    names += [node.name for node in confidence_graph().graph.node]
    for island in INT8_ISLANDS:
        assert any(island.covers(name) for name in names), island
        assert island.reason
    assert not stays_single("trunk/stem/conv")
