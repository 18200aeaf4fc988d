"""Parts of a graph: all that some nodes can change, and all up to a node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import onnx
from onnx import helper

from tdnet_export.precision_check import ValueType, value_types

__all__ = ["Part", "completed", "part_from", "part_until"]


@dataclass(frozen=True, slots=True)
class Part:
    """Some nodes of a graph, in order.

    Attributes:
        nodes: what is in it.
        reads: values that it takes from the rest of the graph, inputs of the graph among them; no constants.
    """

    nodes: tuple[onnx.NodeProto, ...]
    reads: tuple[str, ...]

    def model(self, whole: onnx.ModelProto, types: Mapping[str, ValueType]) -> onnx.ModelProto:
        """It alone, with those of the outputs of `whole` that it makes; `types` are those of all values that it reads."""
        made = {name for node in self.nodes for name in node.output}
        needed = {name for node in self.nodes for name in node.input}
        graph = helper.make_graph(
            self.nodes,
            whole.graph.name,
            [helper.make_tensor_value_info(name, *types[name]) for name in self.reads],
            [value for value in whole.graph.output if value.name in made],
            [tensor for tensor in whole.graph.initializer if tensor.name in needed],
        )
        return helper.make_model(graph, opset_imports=whole.opset_import, ir_version=whole.ir_version)


def part_from(graph: onnx.GraphProto, begins: Callable[[onnx.NodeProto], bool]) -> Part:
    """All nodes for which `begins` is True, and those that depend on them."""
    known = {tensor.name for tensor in graph.initializer} | {""}  # inputs that are left out have no name
    nodes: list[onnx.NodeProto] = []
    made: set[str] = set()
    for node in graph.node:
        if begins(node) or made & set(node.input):
            nodes.append(node)
            made |= set(node.output)
    reads = dict.fromkeys(name for node in nodes for name in node.input)
    return Part(tuple(nodes), tuple(name for name in reads if name not in made | known))


def part_until(model: onnx.ModelProto, ends: Callable[[onnx.NodeProto], bool]) -> onnx.ModelProto:
    """The graph up to the last node for which `ends` is True, with what the rest reads of it as outputs too."""
    graph = model.graph
    count = max((index + 1 for index, node in enumerate(graph.node) if ends(node)), default=len(graph.node))
    kept, rest = graph.node[:count], graph.node[count:]
    made = {name for node in kept for name in node.output}
    needed = {name for node in kept for name in node.input}
    outputs = [value for value in graph.output if value.name in made]
    present, types = {value.name for value in outputs}, value_types(model)
    read = dict.fromkeys(name for node in rest for name in node.input if name in made - present)
    result = helper.make_graph(
        kept,
        graph.name,
        graph.input,
        [*outputs, *(helper.make_tensor_value_info(name, *types[name]) for name in read)],
        [tensor for tensor in graph.initializer if tensor.name in needed],
    )
    return helper.make_model(result, opset_imports=model.opset_import, ir_version=model.ir_version)


def completed(part: onnx.ModelProto, model: onnx.ModelProto) -> None:
    """Give what was made of `part_until(model, …)` the nodes, constants and outputs of `model` that it lacks."""
    there = {node.name for node in part.graph.node}
    constants = {tensor.name for tensor in part.graph.initializer}
    rest = [node for node in model.graph.node if node.name not in there]
    needed = {name for node in rest for name in node.input} - constants
    part.graph.node.extend(rest)
    part.graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name in needed)
    del part.graph.output[:]
    part.graph.output.extend(model.graph.output)
