"""What a graph costs: arithmetic and memory traffic, counted from the ONNX alone.

Conventions, the same for every engine:

* `matrix_flops` are two for each multiply-add of Conv, Gemm and MatMul, as in published figures; products
  with a convolution's padding are counted. All other arithmetic, biases too, is apart: `elementwise_flops`.
* Bytes are those that must be moved *at least*: a stride larger than the kernel skips what it skips, a
  Reshape moves nothing, and a quantised value has the size in which it is stored. Small constants that
  give shapes, axes or scales are left out.

A stage is the part of a graph whose nodes share a scope (`hop2/`, `head/`; of the trunk, each layer).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tdnet_bench.records import Record
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.errors import BundleError
from tdnet_runtime.extras import require

if TYPE_CHECKING:
    import onnx

__all__ = ["Cost", "GraphCost", "NodeCost", "StageCost", "bundle_costs", "graph_cost", "node_costs"]

_VIEWS = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "DequantizeLinear"})
"""Their output is the input's memory; engines read a quantised value where it is used."""
_CONVERSIONS = frozenset({"Cast", "QuantizeLinear", "DequantizeLinear"})
"""Where precisions meet; such a node counts to the stage that it serves, whatever its name."""
_DATA_INPUTS = {"Conv": 3, "Gemm": 3, "MatMul": 2, "Slice": 1, "Resize": 1, "QuantizeLinear": 1, "Clip": 1}
_DATA_INPUTS |= {"ReduceMean": 1, "ReduceL2": 1}
"""Inputs that are data, from the first on; all of them for other operators."""
_MATRIX = frozenset({"Conv", "Gemm", "MatMul"})
_PER_OUTPUT = {"Add": 1, "Sub": 1, "Mul": 1, "Div": 1, "Max": 1, "Relu": 1, "LeakyRelu": 2, "Clip": 2}
_PER_OUTPUT |= {"QuantizeLinear": 3}  # quotient, rounding, clipping
_PER_OUTPUT |= dict.fromkeys(["Cast", "Concat", "Slice", "Transpose", *_VIEWS], 0)
_PER_INPUT = {"ArgMax": 1, "ReduceMean": 1, "ReduceL2": 2}
_PER_INPUT |= {"Softmax": 5}  # maximum, difference, exponential, sum, quotient
_PER_INPUT |= {"LayerNormalization": 7}  # mean, difference, square, its mean, scale, gain, shift
_BILINEAR = 7  # four products and three sums
_SMALL_ELEMENTS = 64  # of a constant that may be a shape; weights' values are of no interest


class Cost(Record, frozen=True, kw_only=True):
    """What some nodes cost together.

    Attributes:
        matrix_flops: by the type that is multiplied: `float32`, `float16`, `bfloat16` or `int8`.
        elementwise_flops: all other arithmetic; for orientation, since counting it is a convention.
        compulsory_bytes: traffic of an ideal fusion: each weight, and each value that comes from or goes
            to the outside, once.
        moved_bytes: traffic without any fusion: what each node by itself reads and writes.
    """

    matrix_flops: dict[str, int]
    elementwise_flops: int
    compulsory_bytes: int
    moved_bytes: int

    @property
    def flops(self) -> int:
        """`matrix_flops` of all types."""
        return sum(self.matrix_flops.values())


class NodeCost(Cost, frozen=True, kw_only=True):
    """Cost of one node."""

    node: str
    operator: str
    stage: str


class StageCost(Cost, frozen=True, kw_only=True):
    """Cost of one stage of a graph; its `compulsory_bytes` are those that cross its border."""

    stage: str
    nodes: int


class GraphCost(Cost, frozen=True, kw_only=True):
    """Cost of a graph.

    Attributes:
        graph: its name.
        stages: in the order in which they begin.
        uncounted: operators whose arithmetic is not known here and is missing; normally none.
    """

    graph: str
    stages: tuple[StageCost, ...]
    uncounted: tuple[str, ...]


def bundle_costs(bundle: Bundle, *, precision: str) -> tuple[GraphCost, ...]:
    """Costs of all graphs of the bundle in `precision`, in the manifest's order.

    Raises:
        MissingExtraError: `onnx` is not installed.
        BundleError: a graph is not one that can be counted, or the file was changed since it was opened.
    """
    return tuple(
        graph_cost(graph.name, bundle.read(graph.members[precision])) for graph in bundle.manifest.graphs
    )


def graph_cost(name: str, data: bytes) -> GraphCost:
    """Cost of the graph `name`, `data` being the ONNX file. Raises as `bundle_costs` does."""
    nodes, values, results = _parse(name, data)
    ledger = _Ledger(nodes, values, results)
    stages = _stages(nodes)
    members: dict[str, list[int]] = {}
    for index, stage in enumerate(stages):
        members.setdefault(stage, []).append(index)
    return GraphCost(
        graph=name,
        stages=tuple(
            StageCost(stage=stage, nodes=len(group), **ledger.total(group))
            for stage, group in members.items()
        ),
        uncounted=tuple(sorted({node.operator for node in nodes if _other_flops(node, values) is None})),
        **ledger.total(range(len(nodes))),
    )


def node_costs(name: str, data: bytes) -> tuple[NodeCost, ...]:
    """Cost of each node of the graph `name`, in the graph's order. Raises as `bundle_costs` does."""
    nodes, values, results = _parse(name, data)
    ledger = _Ledger(nodes, values, results)
    return tuple(
        NodeCost(node=node.name, operator=node.operator, stage=stage, **ledger.total([index]))
        for index, (node, stage) in enumerate(zip(nodes, _stages(nodes), strict=True))
    )


@dataclass(frozen=True, slots=True)
class _Value:
    shape: tuple[int, ...]
    dtype: str
    item_bytes: int

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class _Node:
    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    @property
    def data_inputs(self) -> tuple[str, ...]:
        """Those that carry data, without optional ones that are left out."""
        return tuple(name for name in self.inputs[: _DATA_INPUTS.get(self.operator)] if name)


def _parse(name: str, data: bytes) -> tuple[tuple[_Node, ...], dict[str, _Value], tuple[str, ...]]:
    """The graph's nodes but for constants, its values by name, and the names of its outputs."""
    onnx: Any = require("onnx", extra="bench")
    try:
        model = onnx.load_model_from_string(data)
        for tensor in model.graph.initializer:
            if math.prod(tensor.dims) > _SMALL_ELEMENTS:  # copied to and fro, 100 MB take a second
                tensor.ClearField("raw_data")
        graph = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    except Exception as error:  # the parser and shape inference have several, unrelated errors
        raise BundleError(
            f"counting the operations of graph {name!r}: it is not valid ONNX: {error}; export it again"
        ) from error
    nodes = tuple(_node(onnx, node) for node in graph.node if node.op_type != "Constant")
    values = dict(_values(onnx, graph))
    named = {value for node in nodes for value in (*node.inputs, *node.outputs) if value}
    if unknown := sorted(named - values.keys()):
        raise BundleError(
            f"counting the operations of graph {name!r}: {unknown[0]!r} (1 of {len(unknown)} such values) has no "
            "fixed shape; export it again with fixed ones"
        )
    return nodes, values, tuple(output.name for output in graph.output)


def _node(onnx: Any, node: onnx.NodeProto) -> _Node:
    attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    return _Node(node.name, node.op_type, tuple(node.input), tuple(node.output), attributes)


def _values(onnx: Any, graph: onnx.GraphProto) -> Iterable[tuple[str, _Value]]:
    def value(shape: Iterable[int], kind: int) -> _Value:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind)
        return _Value(tuple(shape), dtype.name, dtype.itemsize)

    for info in (*graph.input, *graph.value_info, *graph.output):
        tensor = info.type.tensor_type
        if tensor.HasField("shape") and all(side.HasField("dim_value") for side in tensor.shape.dim):
            yield info.name, value((side.dim_value for side in tensor.shape.dim), tensor.elem_type)
    for weight in graph.initializer:
        yield weight.name, value(weight.dims, weight.data_type)


def _stages(nodes: Sequence[_Node]) -> list[str]:
    """The stage of each node."""
    makers = {name: index for index, node in enumerate(nodes) for name in node.outputs}
    users: dict[str, int] = {}
    stages = [_scope(node.name) for node in nodes]
    for index in reversed(range(len(nodes))):  # what a conversion serves comes after it
        node = nodes[index]
        if node.operator in _CONVERSIONS:
            served = users.get(node.outputs[0], makers.get(node.inputs[0], index))
            stages[index] = stages[served]
        users.update(dict.fromkeys(node.inputs, index))
    return stages


def _scope(name: str) -> str:
    first, *inner = name.split("/")
    return "/".join([first, *inner[:1]]) if first == "trunk" and len(inner) > 1 else first


class _Ledger:
    """What every node computes, reads and writes, to be added up over any group of nodes.

    Traffic is booked under a value's owner: the value in whose memory it lies.
    """

    def __init__(self, nodes: Sequence[_Node], values: Mapping[str, _Value], results: Sequence[str]) -> None:
        self._values = values
        self._owners = {name: name for name in values}
        for node in nodes:
            if node.operator in _VIEWS:
                self._owners[node.outputs[0]] = self._owners[node.inputs[0]]
        self._nodes = nodes
        self._results = {self._owners[name] for name in results}
        self._read = [self._reads(node) for node in nodes]
        self._written = [self._writes(node) for node in nodes]
        self._readers: dict[str, set[int]] = {}
        for index, read in enumerate(self._read):
            for owner in read:
                self._readers.setdefault(owner, set()).add(index)

    def total(self, group: Sequence[int]) -> dict[str, Any]:
        """The fields of `Cost` for the nodes with these indices."""
        matrix: Counter[str] = Counter()
        read: dict[str, int] = {}
        written: dict[str, int] = {}
        for index in group:
            node = self._nodes[index]
            if node.operator in _MATRIX:
                matrix[self._multiplied(node)] += _matrix_flops(node, self._values)
            written |= self._written[index]
            for owner, count in self._read[index].items():
                read[owner] = max(read.get(owner, 0), count)
        inside = set(group)
        leaving = (o for o in written if o in self._results or self._readers.get(o, set()) - inside)
        return {
            "matrix_flops": dict(matrix),
            "elementwise_flops": sum(_other_flops(self._nodes[i], self._values) or 0 for i in group),
            "compulsory_bytes": sum(count for owner, count in read.items() if owner not in written)
            + sum(written[owner] for owner in leaving),
            "moved_bytes": sum(sum(self._read[i].values()) + sum(self._written[i].values()) for i in group),
        }

    def _multiplied(self, node: _Node) -> str:
        """Type of a product: `int8` where both factors are stored in 8 bits."""
        stored = {self._values[self._owners[name]].dtype for name in node.inputs[:2]}
        return "int8" if stored <= {"int8", "uint8"} else self._values[node.inputs[0]].dtype

    def _reads(self, node: _Node) -> dict[str, int]:
        """Bytes by owner."""
        if node.operator in _VIEWS:
            return {}
        read: dict[str, int] = {}
        for position, name in enumerate(node.data_inputs):
            owner = self._owners[name]
            elements = _elements_read(node, position, self._values)
            read[owner] = max(read.get(owner, 0), elements * self._values[owner].item_bytes)
        return read

    def _writes(self, node: _Node) -> dict[str, int]:
        """Bytes by owner."""
        if node.operator in _VIEWS:
            return {}
        return {n: self._values[n].size * self._values[n].item_bytes for n in node.outputs if n}


def _elements_read(node: _Node, position: int, values: Mapping[str, _Value]) -> int:
    """Elements of the input at `position` that the node needs."""
    value = values[node.data_inputs[position]]
    if node.operator == "Slice":
        return values[node.outputs[0]].size
    if position == 0 and node.operator in {"Conv", "MaxPool"}:
        kernel = node.attributes.get("kernel_shape") or values[node.inputs[1]].shape[2:]
        result = values[node.outputs[0]].shape[2:]
        window = zip(value.shape[2:], result, kernel, strict=True)
        return math.prod(value.shape[:2]) * math.prod(min(side, n * taps) for side, n, taps in window)
    return value.size


def _matrix_flops(node: _Node, values: Mapping[str, _Value]) -> int:
    """Two for each multiply-add of a Conv, Gemm or MatMul."""
    first = values[node.inputs[0]].shape
    if node.operator == "Conv":
        depth = math.prod(values[node.inputs[1]].shape[1:])  # of a group's channels
    elif node.operator == "Gemm":
        depth = first[0] if node.attributes.get("transA") else first[1]
    else:
        depth = first[-1]
    return 2 * depth * values[node.outputs[0]].size


def _other_flops(node: _Node, values: Mapping[str, _Value]) -> int | None:
    """Arithmetic besides multiply-adds of matrix products; None where it is not known."""
    out = values[node.outputs[0]].size
    if node.operator in _MATRIX:
        return out if len(node.data_inputs) == 3 else 0  # the bias
    if node.operator in _PER_OUTPUT:
        return _PER_OUTPUT[node.operator] * out
    if node.operator in _PER_INPUT:
        return _PER_INPUT[node.operator] * values[node.inputs[0]].size
    if node.operator == "MaxPool":
        window: Sequence[int] = node.attributes["kernel_shape"]
        return (math.prod(window) - 1) * out
    if node.operator == "Resize" and node.attributes.get("mode", b"nearest") == b"linear":
        return _BILINEAR * out
    return None
