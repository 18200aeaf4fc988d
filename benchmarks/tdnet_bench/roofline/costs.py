"""What a graph costs, from the ONNX alone: matrix products, and the traffic that no fusion avoids.

The same for every engine: FLOPs are two for each multiply-add of Conv, Gemm and MatMul, as in published figures;
products with a convolution's padding are counted, all other arithmetic is not. Bytes are those that must be moved *at
least*, by an ideal fusion: each weight, and each value that comes from or goes to the outside, once. A stride larger
than the kernel skips what it skips, a Reshape moves nothing, a quantised value has the size in which it is stored;
small constants (shapes, axes, scales) are left out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from tdnet_bench.records import Record
from tdnet_bench.roofline.graph import Node, Value, parse_graph
from tdnet_runtime.bundle import Bundle

__all__ = ["GraphCost", "bundle_costs", "graph_cost"]

_VIEWS = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "DequantizeLinear"})
"""Their output is the input's memory; engines read a quantised value where it is used."""
_MATRIX = frozenset({"Conv", "Gemm", "MatMul"})
_SMALL_WORK = frozenset({
    "Add", "Sub", "Mul", "Div", "Max", "Relu", "LeakyRelu", "Clip", "Greater", "Sqrt", "QuantizeLinear", "Cast", "Concat",
    "Slice", "Transpose", "ArgMax", "ReduceMean", "ReduceL2", "Softmax", "LayerNormalization", "MaxPool", "Resize",
    "GatherElements", "ReduceSum", "Exp", "Round", "Neg", "Where", "Sigmoid",
})  # fmt: skip
"""Arithmetic that is little beside a matrix product; what is in none of these sets is named."""


class GraphCost(Record, frozen=True, kw_only=True):
    """What a graph, or several together, cost.

    FLOPs are by the type that is multiplied: `float32`, `float16`, `bfloat16` or `int8`. `uncounted` are operators whose
    arithmetic is not known here and is missing; normally none.
    """

    graph: str
    matrix_flops: dict[str, int]
    compulsory_bytes: int
    uncounted: tuple[str, ...]

    @property
    def flops(self) -> int:
        """`matrix_flops` of all types."""
        return sum(self.matrix_flops.values())


def bundle_costs(bundle: Bundle, *, precision: str) -> tuple[GraphCost, ...]:
    """Costs of the graphs of a frame with attention in `precision`, in the manifest's order.

    Raises:
        MissingExtraError: `onnx` is not installed.
        BundleError: a graph is not one that can be counted, or the file was changed since it was opened.
    """
    manifest = bundle.manifest
    members = [(g.name, g.members[precision]) for g in manifest.graphs if g.name not in manifest.own_graphs]
    return tuple(graph_cost(name, bundle.read(member)) for name, member in members)


def graph_cost(name: str, data: bytes) -> GraphCost:
    """Cost of the graph `name`, `data` being the ONNX file. Raises as `bundle_costs` does."""
    nodes, values, results = parse_graph(name, data)
    owners = {value: value for value in values}  # the value in whose memory each one lies
    for node in nodes:
        if node.operator in _VIEWS:
            owners[node.outputs[0]] = owners[node.inputs[0]]
    flops: Counter[str] = Counter()
    read: dict[str, int] = {}
    written: dict[str, int] = {}
    for node in nodes:
        if node.operator in _MATRIX:
            stored = {values[owners[factor]].dtype for factor in node.inputs[:2]}
            kind = "int8" if stored <= {"int8", "uint8"} else values[node.inputs[0]].dtype
            flops[kind] += _matrix_flops(node, values)
        if node.operator not in _VIEWS:
            written |= {out: values[out].size * values[out].item_bytes for out in node.outputs if out}
            for position, value in enumerate(node.data_inputs):
                owner = owners[value]
                nbytes = _elements_read(node, position, values) * values[owner].item_bytes
                read[owner] = max(read.get(owner, 0), nbytes)
    leaving = {owners[result] for result in results}
    known = _VIEWS | _MATRIX | _SMALL_WORK
    return GraphCost(
        graph=name,
        matrix_flops=dict(flops),
        compulsory_bytes=sum(nbytes for owner, nbytes in read.items() if owner not in written)
        + sum(nbytes for owner, nbytes in written.items() if owner in leaving),
        uncounted=tuple(sorted({node.operator for node in nodes} - known)),
    )


def _elements_read(node: Node, position: int, values: Mapping[str, Value]) -> int:
    """Elements of the input at `position` that the node needs."""
    value = values[node.data_inputs[position]]
    if node.operator == "Slice":
        return values[node.outputs[0]].size
    if position == 0 and node.operator in {"Conv", "MaxPool"}:
        kernel = node.attributes.get("kernel_shape") or values[node.inputs[1]].shape[2:]
        window = zip(value.shape[2:], values[node.outputs[0]].shape[2:], kernel, strict=True)
        return math.prod(value.shape[:2]) * math.prod(min(side, n * taps) for side, n, taps in window)
    return value.size


def _matrix_flops(node: Node, values: Mapping[str, Value]) -> int:
    first = values[node.inputs[0]].shape
    if node.operator == "Conv":
        depth = math.prod(values[node.inputs[1]].shape[1:])  # of a group's channels
    elif node.operator == "Gemm":
        depth = first[0] if node.attributes.get("transA") else first[1]
    else:
        depth = first[-1]
    return 2 * depth * values[node.outputs[0]].size
