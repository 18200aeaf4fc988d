"""Graphs read and written without the package `onnx`: what it reads of them is the same."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tdnet_runtime.backends.onnx_bytes import OnnxGraph
from tdnet_runtime.backends.onnx_node import Node
from tdnet_runtime.protobuf_wire import bytes_field, number_field, varint

VALUES = {
    "floats": np.float32([[1.5, -2, 3e-9]]),
    "bytes": np.uint8([0, 7, 255]),
    "steps": np.int8([-128, 0, 127]),
    "ints": np.int32([-(2**31), 2**31 - 1]),
    "longs": np.int64([-1, 2**62]),
    "one": np.float32(0.25).reshape(()),
    "none": np.zeros((0, 3), np.float32),
}


def a_model(*, raw=True):
    """A convolution with attributes of all kinds that are read, and one that is not; constants raw or as lists."""
    conv = helper.make_node(
        "Conv", ["x", "w"], ["conv"], name="a/conv", pads=[1, 1, 1, 1], group=1, auto_pad="NOTSET"
    )
    leaky = helper.make_node("LeakyRelu", ["conv"], ["y"], name="a/leaky", alpha=0.01)
    resize = helper.make_node(
        "Clip", ["y", "", "one"], ["z"], name="clip"
    )  # an input that is left out has no name
    constants = {**VALUES, "w": np.ones((2, 2, 3, 3), np.float32)}
    tensors = [
        numpy_helper.from_array(values, name)
        if raw
        else helper.make_tensor(
            name, int(helper.np_dtype_to_tensor_dtype(values.dtype)), values.shape, values.reshape(-1)
        )
        for name, values in constants.items()
    ]
    graph = helper.make_graph(
        [conv, leaky, resize],
        "toy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 5, 5])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 2, 5, 5])],
        tensors,
        doc_string="kept",
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="test"
    )
    helper.set_model_props(model, {"key": "value"})
    return model


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        ([(["y"], ["y"])], "reads 'y' before it is made"),
        ([(["z"], ["y"]), (["y"], ["z"])], "reads 'z' before it is made"),
        ([(["x"], ["y"]), (["y"], ["z"]), (["z"], ["y"])], "two nodes make 'y'"),
        ([(["x"], ["y", "y"])], "two nodes make 'y'"),
    ],
)
def test_circles_are_no_model(nodes, told):
    """Else whoever follows values from node to node would not come to an end."""
    toy = OnnxGraph(bytes_field(7, b""))
    toy.nodes += [Node("MaxPool", inputs, outputs, "pool") for inputs, outputs in nodes]
    with pytest.raises(ValueError, match=told):
        OnnxGraph(toy.serialised())


def test_outputs_that_are_left_out_have_no_name():
    toy = OnnxGraph(bytes_field(7, b""))
    toy.nodes += [Node("Dropout", ["x", ""], [name, ""], "drop") for name in ("y", "z")]
    assert [node.outputs for node in OnnxGraph(toy.serialised()).nodes] == [["y", ""], ["z", ""]]


@pytest.mark.parametrize("raw", [True, False])
def test_what_is_not_changed_is_written_as_it_was(raw):
    model = a_model(raw=raw)
    again = onnx.load_model_from_string(OnnxGraph(model.SerializeToString()).serialised())
    assert again == model


@pytest.mark.parametrize("raw", [True, False])
def test_what_is_read(raw):
    graph = OnnxGraph(a_model(raw=raw).SerializeToString())
    conv, leaky, clip = graph.nodes
    assert (conv.kind, conv.inputs, conv.outputs, conv.name) == ("Conv", ["x", "w"], ["conv"], "a/conv")
    assert conv.attributes == {"auto_pad": "NOTSET", "pads": [1, 1, 1, 1], "group": 1}
    assert (leaky.attributes, clip.inputs) == ({}, ["y", "", "one"])
    assert graph.outputs == {"z"}
    for name, values in VALUES.items():
        found = graph.constant(name)
        assert found.dtype == values.dtype
        assert np.array_equal(found, values)
        assert found.shape == values.shape
    assert graph.constant("x") is None
    assert [node.name for node in graph.readers()["y"]] == ["clip"]
    assert graph.makers()["y"] is leaky


def test_what_is_changed_and_added():
    model = a_model()
    graph = OnnxGraph(model.SerializeToString())
    graph.nodes[1] = Node("Relu", ["conv"], ["y"], "a/relu")
    graph.nodes[0].inputs[1] = graph.add_constant("new", np.zeros((2, 2, 3, 3), np.float32))
    graph.nodes.append(
        Node("Transpose", ["z"], ["t"], "turned", {"perm": [0, 3, 1, 2]}),
    )
    graph.nodes.append(Node("Concat", ["t", "t"], ["c"], "twice", {"axis": -1}))
    for name, values in VALUES.items():
        graph.add_constant(f"{name}/again", values)
    found = onnx.load_model_from_string(graph.serialised())
    onnx.checker.check_model(found, full_check=True)
    assert list(found.graph.node) == [
        helper.make_node(
            "Conv", ["x", "new"], ["conv"], name="a/conv", pads=[1, 1, 1, 1], group=1, auto_pad="NOTSET"
        ),
        helper.make_node("Relu", ["conv"], ["y"], name="a/relu"),
        model.graph.node[2],
        helper.make_node("Transpose", ["z"], ["t"], name="turned", perm=[0, 3, 1, 2]),
        helper.make_node("Concat", ["t", "t"], ["c"], name="twice", axis=-1),
    ]
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in found.graph.initializer}
    for name, values in VALUES.items():
        assert constants[f"{name}/again"].dtype == values.dtype
        assert np.array_equal(constants[f"{name}/again"], values)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "a model has 0 graphs, expected 1"),
        (b"\x08\x08", "a model has 0 graphs, expected 1"),
        (b"\x3a\x00\x3a\x00", "a model has 2 graphs, expected 1"),
        (b"\x3a\x05ab", "it is cut short: 5 bytes are due at byte 2, it has 4"),
        (b"\x3a\x04\x0a\x7fab", "it is cut short: 127 bytes are due at byte 2, it has 4"),
        (b"\x0b", "a field of wire type 3 at byte 1"),  # a group, which ONNX has none of
        (b"\xff" * 11, "the number at byte 0 has no end"),
        (b"\x08", "the number at byte 1 has no end"),
    ],
)
def test_what_is_no_model(data, message):
    with pytest.raises(ValueError, match=message):
        OnnxGraph(data)


@pytest.mark.parametrize(
    ("path", "wrong", "field"),
    [
        ([], number_field(7, 1), 7),
        ([7], number_field(1, 1), 1),
        ([7], number_field(5, 1), 5),
        ([7], number_field(12, 1), 12),
        ([7, 12], number_field(1, 1), 1),
        ([7, 5], number_field(8, 1), 8),
        ([7, 1], number_field(1, 1), 1),
        ([7, 1], number_field(3, 1), 3),
        ([7, 1], number_field(5, 1), 5),
        ([7, 1, 5], number_field(1, 1), 1),
        ([7, 1, 5], number_field(20, 3) + number_field(4, 1), 4),
        ([7, 1, 5], number_field(20, 7) + varint(8 << 3 | 5) + bytes(4), 8),
        ([7, 1, 5], number_field(20, 2) + varint(3 << 3 | 5) + bytes(4), 3),
    ],
)
def test_numbers_where_bytes_are_due(path, wrong, field):
    """The graph, a node, a constant, an output, and what is in them, by the numbers of `onnx.proto3`."""
    for number in reversed(path):
        wrong = bytes_field(number, wrong)
    with pytest.raises(ValueError, match=f"^field {field} holds a number, expected bytes$"):
        OnnxGraph(wrong)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [(number_field(9, 1), 9), (number_field(4, 1), 4), (varint(1 << 3 | 5) + bytes(4), 1)],
    ids=["raw", "floats", "sides"],
)
def test_numbers_where_a_constant_has_bytes(wrong, field):
    tensor = bytes_field(8, b"w") + number_field(2, 1) + wrong
    graph = OnnxGraph(bytes_field(7, bytes_field(5, tensor)))
    with pytest.raises(ValueError, match=f"^field {field} holds a number, expected bytes$"):
        graph.constant("w")


def test_a_constant_of_another_type():
    model = a_model()
    model.graph.initializer.append(numpy_helper.from_array(np.float16([1]), "half"))
    with pytest.raises(ValueError, match=r"a constant has the type 10, expected one of \[1, 2, 3, 6, 7\]"):
        OnnxGraph(model.SerializeToString()).constant("half")
