"""The part of a graph that some of its nodes can change: these, and all that depends on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import onnx
from onnx import helper

from tdnet_export.precision_check import ValueType

__all__ = ["Part", "part_from"]


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
