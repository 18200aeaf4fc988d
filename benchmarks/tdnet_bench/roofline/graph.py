"""An ONNX graph as counting needs it: nodes, and shape and type of every value."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tdnet_runtime.errors import BundleError
from tdnet_runtime.extras import require

if TYPE_CHECKING:
    import onnx

__all__ = ["Node", "Value", "parse_graph"]

_DATA_INPUTS = {"Conv": 3, "Gemm": 3, "MatMul": 2, "Slice": 1, "Resize": 1, "QuantizeLinear": 1, "Clip": 1}
_DATA_INPUTS |= {"ReduceMean": 1, "ReduceL2": 1}
"""Inputs that are data, from the first on; all of them for other operators."""
_SMALL_ELEMENTS = 64  # of a constant that may be a shape; weights' values are of no interest


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor of a graph: its type is NumPy's name for it, `item_bytes` the size of one element."""

    shape: tuple[int, ...]
    dtype: str
    item_bytes: int

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Node:
    """One operation; inputs and outputs are names of values, an optional input that is left out is empty."""

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    @property
    def data_inputs(self) -> tuple[str, ...]:
        """Those that carry data, without optional ones that are left out."""
        return tuple(name for name in self.inputs[: _DATA_INPUTS.get(self.operator)] if name)


def parse_graph(name: str, data: bytes) -> tuple[tuple[Node, ...], dict[str, Value], tuple[str, ...]]:
    """The graph's nodes but for constants, its values by name, and the names of its outputs.

    Raises:
        MissingExtraError: `onnx` is not installed.
        BundleError: `data` is not valid ONNX, or a value has no fixed shape; `name` is for the message.
    """
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


def _node(onnx: Any, node: onnx.NodeProto) -> Node:
    attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    return Node(node.name, node.op_type, tuple(node.input), tuple(node.output), attributes)


def _values(onnx: Any, graph: onnx.GraphProto) -> Iterable[tuple[str, Value]]:
    def value(shape: Iterable[int], kind: int) -> Value:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind)
        return Value(tuple(shape), dtype.name, dtype.itemsize)

    for info in (*graph.input, *graph.value_info, *graph.output):
        tensor = info.type.tensor_type
        if tensor.HasField("shape") and all(side.HasField("dim_value") for side in tensor.shape.dim):
            yield info.name, value((side.dim_value for side in tensor.shape.dim), tensor.elem_type)
    for weight in graph.initializer:
        yield weight.name, value(weight.dims, weight.data_type)
