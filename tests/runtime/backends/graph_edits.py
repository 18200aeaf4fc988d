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
