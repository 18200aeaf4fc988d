"""INT8 graphs for ONNX Runtime: the same values, and every convolution in INT8 from end to end."""

import collections

import msgspec
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from tdnet_runtime.backends import cpu_flags, ort_form
from tdnet_runtime.backends import onnxruntime as backend
from tdnet_runtime.backends.cpu_flags import sums_int8_exactly
from tdnet_runtime.backends.onnx_bytes import OnnxGraph
from tdnet_runtime.backends.onnx_node import Node
from tdnet_runtime.backends.ort_int8 import UNWANTED_OPTIMIZERS, int8_form
from tdnet_runtime.backends.ort_options import session_options
from tdnet_runtime.errors import BackendError
from tdnet_runtime.manifest import GraphSpec, TensorSpec
from tdnet_runtime.protobuf_wire import bytes_field

MEAN = (124.0, 116.0, 104.0)


class Toy:
    """Collects the nodes and constants of a graph; a value has the name of its node."""

    def __init__(self):
        self.rng = np.random.default_rng(0)
        self.nodes, self.constants = [], {}

    def add(self, kind, *inputs, name, **attributes):
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def hold(self, name, values):
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)
        return name

    def steps(self, source, scale, zero):
        """A pair behind `source`."""
        rest = [
            self.hold(f"{source}/scale", np.float32(scale).reshape(())),
            self.hold(f"{source}/zero", zero.reshape(())),
        ]
        steps = self.add("QuantizeLinear", source, *rest, name=f"{source}/q")
        return self.add("DequantizeLinear", steps, *rest, name=f"{source}/dq")

    def conv(self, source, name, shape, *, weights=True, largest=60, **attributes):
        """A convolution; its weights are steps of 2^-8, constants that are dequantised where `weights` says so."""
        steps = self.rng.integers(-largest, largest + 1, shape)
        steps[:, 0, 0, 0] = 127  # so that every channel's scale is 2^-8 however it is found
        if weights:
            scales = self.hold(f"{name}/w/scale", np.full(len(steps), 2.0**-8, np.float32))
            zeros = self.hold(f"{name}/w/zero", np.zeros(len(steps), np.int8))
            held = self.hold(f"{name}/w/steps", steps.astype(np.int8))
            weight = self.add("DequantizeLinear", held, scales, zeros, name=f"{name}/w", axis=0)
        else:
            weight = self.hold(f"{name}/w", (steps / 2.0**8).astype(np.float32))
        bias = self.hold(f"{name}/bias", self.rng.integers(-9, 9, len(steps)).astype(np.float32))
        return self.add("Conv", source, weight, bias, name=name, **attributes)

    def model(self, inputs, outputs):
        graph = helper.make_graph(
            self.nodes,
            "toy",
            [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in inputs],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            list(self.constants.values()),
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def block():
    """LeakyReLU between two convolutions, signed results, a sum, and a pick."""
    toy, three = Toy(), {"pads": [1, 1, 1, 1]}
    x = toy.steps("x", 0.25, np.int8(0))
    leaky = toy.add("LeakyRelu", toy.conv(x, "one", (8, 8, 3, 3), **three), name="leaky", alpha=0.01)
    inner = toy.steps(leaky, 0.25, np.uint8(0))
    two = toy.steps(toy.conv(inner, "two", (8, 8, 3, 3), **three), 0.5, np.int8(0))
    total = toy.steps(toy.add("Add", two, x, name="sum"), 0.5, np.int8(0))
    picked = toy.add("MaxPool", total, name="pool", kernel_shape=[2, 2], strides=[2, 2])
    last = toy.steps(toy.conv(picked, "three", (8, 8, 1, 1)), 1.0, np.int8(0))
    toy.add("Identity", last, name="y")
    return toy.model([("x", TensorProto.FLOAT, [1, 8, 12, 10])], ["y"])


def chain(length):
    """So many picks of steps, and nothing behind them."""
    toy = Toy()
    x = toy.steps("x", 0.25, np.int8(0))
    ends = [toy.hold(name, np.array([value])) for name, value in (("from", 0), ("to", 9))]
    for index in range(length):
        x = toy.add("Slice", x, *ends, name=f"pick{index}")
    toy.add("Identity", x, name="y")
    return toy.model([("x", TensorProto.FLOAT, [9])], ["y"])


def beginning(height, width, *, kernel=7, mean=MEAN, channels=8, stepped=False):
    """A picture, normalised (`stepped`: in steps then); the first convolution, a pool and another convolution."""
    toy = Toy()
    x = toy.add("Cast", "image", name="cast", to=TensorProto.FLOAT)
    x = toy.add("Transpose", x, name="transpose", perm=[0, 3, 1, 2])
    x = toy.add("Sub", x, toy.hold("mean", np.float32(mean).reshape(1, 3, 1, 1)), name="sub")
    x = toy.add("Mul", x, toy.hold("factor", np.ones((1, 3, 1, 1), np.float32)), name="mul")
    if stepped:
        x = toy.steps(x, 4.0, np.int8(0))
    conv = toy.conv(
        x,
        "stem",
        (channels, 3, kernel, kernel),
        weights=stepped,
        strides=[2, 2],
        pads=[kernel // 2] * 4,
        dilations=[1, 1],
    )
    relu = toy.steps(toy.add("LeakyRelu", conv, name="relu", alpha=0.01), 2.0, np.uint8(0))
    pool = toy.add("MaxPool", relu, name="pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    toy.add("Identity", toy.steps(toy.conv(pool, "next", (8, channels, 3, 3)), 8.0, np.int8(0)), name="y")
    return toy.model([("image", TensorProto.UINT8, [1, height, width, 3])], ["y"])


def specs(model):
    kinds = {TensorProto.FLOAT: "float32", TensorProto.UINT8: "uint8"}
    return [
        TensorSpec(
            name=value.name,
            shape=tuple(side.dim_value for side in value.type.tensor_type.shape.dim),
            dtype=kinds[value.type.tensor_type.elem_type],
        )
        for value in model.graph.input
    ]


def formed(model, *, exact=True):
    data = int8_form(model.SerializeToString(), specs(model), exact=exact)
    onnx.checker.check_model(onnx.load_model_from_string(data), full_check=True)
    return data


def feeds(model):
    rng = np.random.default_rng(1)
    (spec,) = specs(model)
    if spec.dtype == "uint8":
        return {spec.name: rng.integers(0, 256, spec.shape).astype(np.uint8)}
    return {spec.name: rng.normal(scale=12, size=spec.shape).astype(np.float32)}


def as_it_stands(data, values):
    """Values of the arithmetic itself: nothing is fused."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"]).run(None, values)[0]


def kinds(data, folder, without=UNWANTED_OPTIMIZERS):
    """How many nodes of each kind ONNX Runtime runs for a graph."""
    options = session_options(ort, 1)
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    backend.load_graph(ort, "toy", data, options, without=without)
    made = onnx.load(folder / "optimised.onnx")
    return collections.Counter(node.op_type for node in made.graph.node)


def deep_stem():
    """Three convolutions and a pool that were left in float, as INT8 costs some networks too much there."""
    toy, x = Toy(), "x"
    for name in ("one", "two", "three"):
        x = toy.conv(x, name, (8, 8, 3, 3), weights=False, pads=[1] * 4)
        x = toy.add("Relu", x, name=f"{name}/relu")
    pool = toy.add("MaxPool", x, name="pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    last = toy.conv(toy.steps(pool, 2.0, np.uint8(0)), "last", (8, 8, 3, 3))
    toy.add("Identity", toy.steps(last, 4.0, np.int8(0)), name="y")
    return toy.model([("x", TensorProto.FLOAT, [1, 8, 12, 10])], ["y"])


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("make", [block, deep_stem])
def test_the_values_are_the_same(make, exact):
    model = make()
    wanted, found = (
        as_it_stands(data, feeds(model)) for data in (model.SerializeToString(), formed(model, exact=exact))
    )
    assert wanted.std() > 5
    assert np.array_equal(found, wanted)


def test_every_convolution_is_int8_from_end_to_end(tmp_path):
    model = block()
    assert kinds(model.SerializeToString(), tmp_path, ())["QLinearConv"] < 3
    found = kinds(formed(model), tmp_path)
    assert found["QLinearConv"] == 3
    assert not {"Conv", "FusedConv", "LeakyRelu", "QLinearLeakyRelu"} & found.keys()


def test_no_product_reads_steps_around_128_where_its_sums_may_saturate():
    """Sums of two products in 16 bits: 2·128·127 is all that they hold."""
    nodes = {node.name: node for node in onnx.load_model_from_string(formed(block(), exact=False)).graph.node}
    assert nodes["x/q"].input[2] == nodes["x/dq"].input[2] == "x/zero"
    assert nodes["sum/q"].input[2] == "sum/zero"  # by way of the pool
    assert nodes["two/q"].input[2] == nodes["two/dq"].input[2] == "steps/middle"
    exact = {node.name: node for node in onnx.load_model_from_string(formed(block())).graph.node}
    assert exact["x/q"].input[2] == exact["x/dq"].input[2] == "steps/middle"
    assert exact["leaky/q"].input[2] == "leaky/zero"


@pytest.mark.parametrize("exact", [True, False])
def test_a_long_row_of_picks_ends(exact):
    """Longer than Python calls functions in functions."""
    model = chain(1500)
    found = onnx.load_model_from_string(formed(model, exact=exact)).graph
    assert next(node for node in found.node if node.name == "x/q").input[2] == "steps/middle"


def test_what_is_read_twice_in_the_same_steps_is_quantised_once():
    """Steps of another size are others, and what the graph gives is given."""
    toy = Toy()
    pairs = [toy.steps("x", scale, np.int8(0)) for scale in (0.25,)]
    for name, scale in (("second", 0.25), ("third", 0.5)):
        rest = [
            toy.hold(f"{name}/scale", np.float32(scale).reshape(())),
            toy.hold(f"{name}/zero", np.int8(0).reshape(())),
        ]
        steps = toy.add("QuantizeLinear", "x", *rest, name=f"{name}/q")
        pairs.append(toy.add("DequantizeLinear", steps, *rest, name=f"{name}/dq"))
    toy.add("Sum", *pairs, name="y")
    model = toy.model([("x", TensorProto.FLOAT, [1, 2, 3, 4])], ["y"])
    data = formed(model)
    found = [node.name for node in onnx.load_model_from_string(data).graph.node]
    assert found == ["x/q", "x/dq", "third/q", "third/dq", "y"]
    assert np.array_equal(
        as_it_stands(data, feeds(model)), as_it_stands(model.SerializeToString(), feeds(model))
    )


def test_a_leaky_relu_whose_negative_results_are_read_stays():
    model = block()
    del model.graph.value_info[:]
    for tensor in model.graph.initializer:
        if tensor.name == "leaky/zero":
            tensor.CopyFrom(numpy_helper.from_array(np.int8(0).reshape(()), tensor.name))
    found = onnx.load_model_from_string(formed(model))
    assert [node.op_type for node in found.graph.node if node.name == "leaky"] == ["LeakyRelu"]
    values = feeds(model)
    assert np.array_equal(
        as_it_stands(found.SerializeToString(), values), as_it_stands(model.SerializeToString(), values)
    )


@pytest.mark.parametrize("kernel", [3, 7])
@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 18), (18, 19), (21, 17)])
def test_the_first_convolution_on_bytes(height, width, kernel, tmp_path):
    """Weights are steps already here, and the mean is whole, so that nothing is rounded: borders count."""
    model = beginning(height, width, kernel=kernel)
    data, values = formed(model), feeds(model)
    assert np.array_equal(as_it_stands(data, values), as_it_stands(model.SerializeToString(), values))
    found = kinds(data, tmp_path)
    assert found["QLinearConv"] == 2
    assert not {"Conv", "FusedConv", "Cast", "Sub"} & found.keys()
    session = backend.load_graph(ort, "toy", data, session_options(ort, 1), without=UNWANTED_OPTIMIZERS)
    off = np.abs(session.run(None, values)[0] - as_it_stands(data, values))
    assert off.max() <= 8.0  # one step, where sums lie between two


def test_a_first_convolution_that_reads_steps(tmp_path):
    """Of the normalised pixels: their rounding is left out, and the weights are the same."""
    plain, stepped = beginning(18, 19), beginning(18, 19, stepped=True)
    values = feeds(plain)
    wanted = as_it_stands(plain.SerializeToString(), values)
    assert not np.array_equal(as_it_stands(stepped.SerializeToString(), values), wanted)
    assert np.array_equal(as_it_stands(formed(stepped), values), wanted)
    assert kinds(formed(stepped), tmp_path)["QLinearConv"] == 2


def test_weights_are_rounded_for_each_channel():
    """Also those of a channel that is nothing but its bias, as dead ones of trained networks are."""
    model = beginning(16, 16)
    rng = np.random.default_rng(2)
    weights = rng.normal(size=(8, 3, 7, 7)).astype(np.float32) * np.logspace(
        -6, 0, 8, dtype=np.float32
    ).reshape(-1, 1, 1, 1)
    weights[3] = 0
    for tensor in model.graph.initializer:
        if tensor.name == "stem/w":
            tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))
        if tensor.name == "factor":
            values = np.float32([0.5, 1, 2]).reshape(1, 3, 1, 1)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    found = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in onnx.load_model_from_string(formed(model)).graph.initializer
    }
    steps, scales = found["stem/weight_steps"], found["stem/weight_scales"]
    assert np.abs(steps).reshape(16, -1).max(1).tolist()[7] == 127
    assert not steps[3].any()
    assert np.isfinite(scales).all()
    assert (scales > 0).all()
    assert (np.abs(found["stem/bias"] / scales) < 2**25).all()
    off = as_it_stands(formed(model), feeds(model)) - as_it_stands(model.SerializeToString(), feeds(model))
    assert np.abs(off).mean() < 8.0 / 4


@pytest.mark.parametrize(
    "edit",
    [
        lambda model: model.graph.node[2].input.__setitem__(0, "cast"),  # another beginning
        lambda model: model.graph.output.append(
            helper.make_tensor_value_info("mul", TensorProto.FLOAT, None)
        ),
    ],
)
def test_another_beginning_is_left(edit):
    model = beginning(16, 16)
    edit(model)
    data = int8_form(model.SerializeToString(), specs(model), exact=True)
    assert "cast" in {node.name for node in onnx.load_model_from_string(data).graph.node}


@pytest.mark.parametrize(("mean", "exact"), [((-3.0, 0, 0), True), ((300.0, 0, 0), True), (MEAN, False)])
def test_a_first_convolution_that_stays_float(mean, exact, tmp_path):
    """No pixel has the colour that its zeros would be; or sums may saturate. The pool is float then as well."""
    model = beginning(16, 16, mean=mean)
    data, values = formed(model, exact=exact), feeds(model)
    assert np.array_equal(as_it_stands(data, values), as_it_stands(model.SerializeToString(), values))
    nodes = [node.name for node in onnx.load_model_from_string(data).graph.node]
    assert "cast" in nodes
    assert nodes.index("pool") < nodes.index("relu/q")
    found = kinds(data, tmp_path)
    assert found["QLinearConv"] == 1
    assert found["MaxPool"] == 1


def toy_spec():
    x = TensorSpec(name="x", shape=(1,), dtype="float32")
    return GraphSpec(name="toy", inputs=(x,), outputs=(msgspec.structs.replace(x, name="y"),), members={})


@pytest.mark.parametrize(
    ("cpuinfo", "exact"),
    [
        ("flags : fpu sse avx2 avx512_vnni\n", True),
        ("flags : fpu avx_vnni\n", True),
        ("flags : fpu sse avx2 avx512f\n", False),
        ("Features : fp asimd asimddp\n", None),
        ("", None),
    ],
)
def test_which_processors_sum_exactly(cpuinfo, exact, tmp_path, monkeypatch):
    assert sums_int8_exactly(cpuinfo) is exact
    asked = []
    monkeypatch.setattr(cpu_flags, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(ort_form, "int8_form", lambda data, inputs, *, exact: asked.append(exact) or data)
    ort_form.own_form(toy_spec(), b"", "int8")  # no such file
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    ort_form.own_form(toy_spec(), b"", "int8")
    assert asked == [False, exact is True]


@pytest.mark.parametrize(
    ("kind", "inputs", "outputs"),
    [
        ("QuantizeLinear", [], []),
        ("QuantizeLinear", ["x"], ["y"]),
        ("LeakyRelu", ["x"], []),
        ("MaxPool", ["x"], []),
        ("Slice", [], ["y"]),
    ],
)
def test_nodes_that_lack_what_their_kind_has(kind, inputs, outputs):
    toy = OnnxGraph(bytes_field(7, b""))
    toy.nodes.append(Node(kind, inputs, outputs, "one"))
    with pytest.raises(BackendError, match=r"^graph 'toy' in int8 cannot be read: .* Export again\.$"):
        ort_form.own_form(toy_spec(), toy.serialised(), "int8")


def test_steps_without_a_zero_point():
    toy = OnnxGraph(bytes_field(7, b""))
    toy.nodes += [Node("DequantizeLinear", ["x", "scale"], ["y"], "one"), Node("Slice", ["y"], ["z"], "two")]
    with pytest.raises(BackendError, match=r"^graph 'toy' in int8 cannot be read: .* Export again\.$"):
        ort_form.own_form(toy_spec(), toy.serialised(), "int8")


def test_nodes_in_a_circle():
    toy = OnnxGraph(bytes_field(7, b""))
    toy.nodes += [Node("MaxPool", [a], [b], f"{a}{b}") for a, b in ("xy", "yx")]
    with pytest.raises(
        BackendError, match=r"^graph 'toy' in int8 cannot be read: node 'xy' reads 'x' before"
    ):
        ort_form.own_form(toy_spec(), toy.serialised(), "int8")


def test_a_graph_that_is_none():
    with pytest.raises(BackendError, match=r"^graph 'toy' in int8 cannot be read: .* Export again\.$"):
        ort_form.own_form(toy_spec(), b"\x3a\x05ab", "int8")
