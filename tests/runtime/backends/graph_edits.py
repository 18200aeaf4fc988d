"""What tests of an engine spoil in a graph."""

from __future__ import annotations

from collections.abc import Callable

import onnx
from onnx import TensorProto, helper


def edited(data: bytes, edit: Callable[[onnx.GraphProto], object]) -> bytes:
    """The model after `edit` of its graph."""
    model = onnx.load_model_from_string(data)
    edit(model.graph)
    return model.SerializeToString()


def rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for value in (*graph.input, *graph.output):
        value.name = new if value.name == old else value.name
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                names[index] = new if name == old else name


def reshape_input(graph: onnx.GraphProto, name: str, shape: list[int | str]) -> None:
    for value in graph.input:
        if value.name == name:
            value.CopyFrom(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))


def half_warm(graph: onnx.GraphProto) -> None:
    graph.input[-1].type.tensor_type.elem_type = TensorProto.FLOAT16  # warm
    graph.node.insert(0, helper.make_node("Cast", ["warm"], ["warm_f32"], to=TensorProto.FLOAT))
    for node in graph.node[1:]:
        for index, name in enumerate(node.input):
            node.input[index] = "warm_f32" if name == "warm" else name


def weights_elsewhere(data: bytes) -> bytes:
    """An initializer that lies in a file of the reader's machine."""

    def edit(graph: onnx.GraphProto) -> None:
        tensor = graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", "/etc/passwd"), ("offset", "0"), ("length", "4")):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value

    return edited(data, edit)


def unknown_operator(data: bytes) -> bytes:
    """A node that no engine knows."""
    return edited(data, lambda graph: setattr(graph.node[0], "op_type", "Teleport"))


SPOILED: dict[str, Callable[[bytes], bytes]] = {
    "garbage": lambda data: b"no graph at all",
    "empty": lambda data: b"",
    "truncated": lambda data: data[:-20],
    "zeros": lambda data: b"\0" * 4096,
    "unknown operator": unknown_operator,
    "weights elsewhere": weights_elsewhere,
}
"""Graphs that no engine may load, by what is wrong with them."""
