"""INT8 graphs for TensorRT: signed steps, FP16 scales, and the same values as before."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.export.int8.conftest import confidence_graph
from tests.export.int8.test_check import columns_graph

from tdnet_export.graph_check import MAX_IR_VERSION, MAX_OPSET, check_graph
from tdnet_export.int8.quantisers import PAIR, quantised_inputs
from tdnet_export.int8.signed import check_signed, half_signed_model, signed_model
from tdnet_export.precision import half_tensors
from tdnet_export.precision_check import check_half
from tdnet_export.precision_rounding import rounding_model
from tdnet_runtime.backends.graph_precision import unsound_optimizers
from tdnet_runtime.backends.onnxruntime import load_graph
from tdnet_runtime.backends.ort_options import session_options
from tdnet_runtime.errors import ExportError
from tdnet_runtime.media.scene import render

UNSIGNED = np.uint8(0)
STEM, DEEP = "trunk/layer1/0/conv2/conv", "trunk/layer2/0/conv2/conv"


def relu_graph(*, zero=UNSIGNED, weight=np.int8, last=None, scale=0.1):
    """x → Relu → Q → DQ → Conv with a bias, FP32; `last` names the scale in which the result is quantised, signed."""
    rng = np.random.default_rng(0)
    constants = {
        "scale": np.float32(scale),
        "zero": np.asarray(zero),
        "signed": np.int8(0),
        "own": np.float32(0.05),
        "steps": rng.integers(1, 127, size=(4, 4, 3, 3)).astype(weight),
        "steps_scale": np.float32([0.01, 0.02, 0.03, 3e-6]),
        "steps_zero": np.zeros(4, weight),
        "bias": np.float32([0.5, -0.5, 2, 0.25]),
    }
    nodes = [
        ("Relu", ["x"], {}),
        ("QuantizeLinear", ["relu", "scale", "zero"], {}),
        ("DequantizeLinear", ["quantizelinear", "scale", "zero"], {}),
        ("Conv", ["dequantizelinear", "weight", "bias"], {"pads": [1, 1, 1, 1]}),
    ]
    made = [
        helper.make_node(kind, args, [kind.lower()], name=kind.lower(), **more) for kind, args, more in nodes
    ]
    steps = helper.make_node(
        "DequantizeLinear", ["steps", "steps_scale", "steps_zero"], ["weight"], name="weight", axis=0
    )
    if last:
        made.append(helper.make_node("QuantizeLinear", ["conv", last, "signed"], ["q"], name="q"))
        made.append(helper.make_node("DequantizeLinear", ["q", last, "signed"], ["dq"], name="dq"))
    made[-1].output[0] = "logits"
    graph = helper.make_graph(
        [steps, *made],
        "toy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 6, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 4, 6, 8])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def constants_of(model):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def run(model, feeds, *, plain=True, without=()):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    if plain:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        model.SerializeToString(),
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=list(without),
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def test_unsigned_steps_become_signed_ones_of_the_same_range():
    model = relu_graph()
    before = model.SerializeToString()
    found = constants_of(signed_model(model))
    assert model.SerializeToString() == before
    assert found["zero"].dtype == np.int8
    assert found["scale"] * 127 == pytest.approx(0.1 * 255)
    assert (found["steps"] == constants_of(model)["steps"]).all()
    assert (found["steps_scale"] == constants_of(model)["steps_scale"]).all()
    x = np.linspace(-30, 30, 192, dtype=np.float32).reshape(1, 4, 6, 8)
    wanted, got = (run(each, {"x": x})["logits"] for each in (model, signed_model(model)))
    assert 0 < np.abs(got - wanted).max() < 0.02 * np.abs(wanted).max()


def test_without_the_factor_half_of_the_range_is_cut_off():
    """What TensorRT makes of UINT8 zero points: the test above sees it."""
    model = relu_graph()
    for tensor in model.graph.initializer:
        if tensor.name == "zero":
            tensor.CopyFrom(numpy_helper.from_array(np.int8(0).reshape(()), "zero"))
    x = np.linspace(-30, 30, 192, dtype=np.float32).reshape(1, 4, 6, 8)
    wanted, got = (run(each, {"x": x})["logits"] for each in (relu_graph(), model))
    assert np.abs(got - wanted).max() > 0.2 * np.abs(wanted).max()


def test_signed_steps_stay_as_they_are():
    model = relu_graph(zero=np.int8(0))
    before, after = constants_of(model), constants_of(signed_model(model))
    assert {"scale", "steps", "steps_scale", "bias"} <= after.keys()
    assert all((before[name] == after[name]).all() for name in after)


def test_what_a_convolution_gives_to_a_sum_is_not_quantised():
    """The other operand, which lies in memory between kernels, is; and so is what another convolution reads."""
    model = relu_graph(last="own")
    model.graph.node[-1].output[0] = "dq"
    model.graph.node.append(helper.make_node("Add", ["dq", "dequantizelinear"], ["logits"], name="add"))
    found = signed_model(model)
    assert list(found.graph.node[-1].input) == ["conv", "dequantizelinear"]
    assert [node.name for node in found.graph.node] == [
        name for name in (node.name for node in model.graph.node) if name not in ("q", "dq")
    ]
    assert "own" not in constants_of(found)
    assert "scale" in constants_of(found)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": np.uint8}, r"graph 'toy' has a constant in UINT8 steps: 'steps'"),
        ({"last": "scale"}, r"graph 'toy' has one scale for UINT8 and INT8 steps: 'scale'"),
    ],
)
def test_what_cannot_be_made_signed_is_refused(changes, message):
    with pytest.raises(ExportError, match=message):
        signed_model(relu_graph(**changes))


@pytest.fixture
def by_hand(tiny_graphs, quantised_by_hand):
    """A tiny sub-network with two convolutions in INT8, one of them with steps that FP16 can hardly tell from 0."""
    models, contract, _ = tiny_graphs("td4-psp18")
    model = quantised_by_hand(models["subnet1"], {STEM: 0.02, DEEP: 0.02})
    for tensor in model.graph.initializer:
        if tensor.name == f"{DEEP}/w/scale":
            values = numpy_helper.to_array(tensor).copy()
            values[0], values[1] = 3.8e-7, 1e-12
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    (tensors,) = (each for each in contract.graphs if each.name == "subnet1")
    return model, tensors


def test_the_rest_becomes_fp16(by_hand):
    model, tensors = by_hand
    found = half_signed_model(signed_model(model))
    check_half(found)
    check_signed(found)
    check_graph(found, half_tensors(tensors), more=PAIR)
    assert found.opset_import[0].version == 19 <= MAX_OPSET
    assert found.ir_version <= MAX_IR_VERSION
    users = {name: node for node in found.graph.node for name in node.input}
    for name in quantised_inputs(found.graph):
        assert users[name].op_type == "Conv"  # no Cast in between
    reductions = [node for node in found.graph.node if node.op_type.startswith("Reduce")]
    assert all(len(node.input) == 2 for node in reductions)


def test_reductions_are_written_as_the_opset_has_them(tiny_graphs):
    models, contract, _ = tiny_graphs("td2-fa18")  # unit vectors and LayerNorms
    for tensors in contract.graphs:
        found = half_signed_model(models[tensors.name])
        check_graph(found, half_tensors(tensors), more=PAIR)
    assert any(node.op_type == "ReduceL2" for node in half_signed_model(models["subnet1"]).graph.node)


def test_constants_are_rounded_anew_where_fp16_is_coarse(by_hand):
    """Scales below FP16's normal range are off by percents: the steps make up for it."""
    model, _ = by_hand
    before, after = constants_of(model), constants_of(half_signed_model(model))
    name = f"{DEEP}/w"
    old, new = before[f"{name}/scale"], after[f"{name}/scale"].astype(np.float32)
    assert abs(new[0] / old[0] - 1) > 0.02
    assert new[1] == 2.0**-24  # never 0, which TensorRT refuses
    shape = (-1, 1, 1, 1)
    wanted = before[f"{name}/steps"] * old.reshape(shape)
    off = np.abs(after[f"{name}/steps"] * new.reshape(shape) - wanted)
    assert (off <= 0.501 * new.reshape(shape)).all()
    kept = np.abs(before[f"{name}/steps"] * new.reshape(shape) - wanted)
    assert (kept > new.reshape(shape)).any()  # the same steps would be worse


def test_constants_are_rounded_anew_along_their_axis():
    model = columns_graph(1)
    steps = constants_of(model)["steps"] * constants_of(model)["scale"]
    found = constants_of(half_signed_model(model))
    rounded = found["steps"] * found["scale"].astype(np.float32)
    assert (np.abs(rounded - steps) <= 0.51 * found["scale"].astype(np.float32)).all()


def test_the_twin_computes_what_the_signed_graph_does(by_hand, tiny_graphs):
    model, _ = by_hand
    size = tiny_graphs("td4-psp18")[2].input
    image = {"image": render(3, height=size.height, width=size.width)[None]}
    wanted = run(model, image)
    twin = rounding_model(half_signed_model(model))
    steps = {node.output[0] for node in twin.graph.node if node.op_type == "DequantizeLinear"}
    assert {node.op_type for node in twin.graph.node if steps & {*node.input}} == {
        "Conv"
    }  # nothing rounds them
    for found in (half_signed_model(model), twin):
        got = run(found, image)
        for name, values in wanted.items():
            assert got[name].dtype == np.float16
            assert np.abs(got[name].astype(np.float32) - values).max() < 0.05 * values.std()


def test_confidence_is_the_same_beside_int8():
    """The axes of its sum are an input in either opset."""
    model, found = confidence_graph(), half_signed_model(confidence_graph())
    onnx.checker.check_model(found, full_check=True)
    assert [len(node.input) for node in found.graph.node if node.op_type.startswith("Reduce")] == [2]
    logits = np.random.default_rng(0).normal(scale=4, size=(1, 5, 6, 8)).astype(np.float32)
    (wanted,), (got,) = (run(each, {"logits": logits}).values() for each in (model, found))
    share = np.exp(logits.max(1)) / np.exp(logits).sum(1)
    assert np.array_equal(wanted, np.rint(255 * share))
    assert np.abs(got.astype(int) - wanted).max() <= 1


def half_toy():
    found = half_signed_model(signed_model(relu_graph(scale=0.002, last="own")))
    check_signed(found)
    return found


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("zero", np.uint8(0), "'quantizelinear' has no INT8 zero point of 0"),
        ("zero", np.int8(3), "'quantizelinear' has no INT8 zero point of 0"),
        ("steps_scale", np.float16([1, 1, 0, 1]), "'weight' has no positive FP16 scale"),
        ("scale", np.float32(0.1), "'quantizelinear' has no positive FP16 scale"),
    ],
)
def test_what_is_not_for_tensorrt_is_refused(name, values, message):
    model = half_toy()
    for tensor in model.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(np.asarray(values), name))
    with pytest.raises(ExportError, match=rf"graph 'toy' is not for TensorRT: {message}"):
        check_signed(model)


def test_onnxruntime_leaves_biases_alone():
    """It would quantise them with a scale that is 0 in FP16; where it no longer does, `unsound_optimizers` may go."""
    model = half_toy()
    feeds = {"x": np.zeros((1, 4, 6, 8), np.float16)}
    bias = constants_of(relu_graph())["bias"]
    own = load_graph(
        ort,
        "toy",
        model.SerializeToString(),
        session_options(ort, 1),
        without=unsound_optimizers("int8_fp16"),
    )
    (found,) = own.run(None, feeds)
    assert np.allclose(found.mean((0, 2, 3)), bias, atol=0.03)
    left = run(model, feeds, plain=False)["logits"]
    assert not np.allclose(left.mean((0, 2, 3)), bias, atol=0.03)
    assert unsound_optimizers("int8") == unsound_optimizers("fp32") == []


def test_the_graph_that_was_given_is_not_changed(by_hand):
    model, _ = by_hand
    before = model.SerializeToString()
    half_signed_model(model)
    assert model.SerializeToString() == before
    onnx.checker.check_model(half_signed_model(model), full_check=True)
