"""ONNX graphs as their bytes: nodes and constants read, changed and written again, without the package `onnx`.

What is not asked for is carried along as it stands, but for notes on the types of inner values, which may change.
Field numbers are those of `onnx.proto3`; a graph is what `tdnet-export` writes: no subgraphs, no external data.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from tdnet_runtime.backends.onnx_node import Node, integers_in, node_bytes, read_node, require_order, text_in
from tdnet_runtime.manifest import TensorSpec
from tdnet_runtime.protobuf_wire import (
    BYTES,
    FIXED32,
    Field,
    bytes_field,
    fields,
    number_field,
    octets,
    prefixed,
    varint,
    written,
)

__all__ = ["OnnxGraph"]

_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_CONSTANT, _GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_NOTE = 1, 5, 11, 12, 13
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TYPE_TENSOR = 1
_TYPE_DTYPE, _TYPE_SHAPE = 1, 2
_SHAPE_SIDE, _SIDE_LENGTH = 1, 1
_VALUE_DTYPES = {"float32": 1, "float16": 10}
_TENSOR_SIDE, _TENSOR_TYPE, _TENSOR_FLOATS, _TENSOR_INTS, _TENSOR_LONGS, _TENSOR_NAME, _TENSOR_RAW = (
    1,
    2,
    4,
    5,
    7,
    8,
    9,
)
_DTYPES = {1: "<f4", 2: "u1", 3: "i1", 6: "<i4", 7: "<i8"}


class OnnxGraph:
    """The graph of a model.

    Args:
        data: a serialised `ModelProto`.

    Attributes:
        nodes: in order.
        inputs: names of the values that it is given.
        outputs: names of the values that it gives.

    Raises:
        ValueError: these bytes are no such model.
    """

    def __init__(self, data: bytes) -> None:
        self._model = list(fields(memoryview(data)))
        graphs = [octets(each) for each in self._model if each[0] == _MODEL_GRAPH]
        if len(graphs) != 1:
            raise ValueError(f"a model has {len(graphs)} graphs, expected 1")
        self.nodes: list[Node] = []
        self._constants: dict[str, Any] = {}
        names: dict[int, list[str]] = {_GRAPH_INPUT: [], _GRAPH_OUTPUT: []}
        self._rest: list[Field] = []
        for each in fields(graphs[0]):
            if each[0] == _GRAPH_NODE:
                self.nodes.append(read_node(octets(each)))
            elif each[0] == _GRAPH_CONSTANT:
                self._constants[text_in(octets(each), _TENSOR_NAME)] = each[2]
            elif each[0] != _GRAPH_NOTE:
                self._rest.append(each)
                if each[0] in names:
                    names[each[0]].append(text_in(octets(each), _VALUE_NAME))
        self.inputs, self.outputs = frozenset(names[_GRAPH_INPUT]), frozenset(names[_GRAPH_OUTPUT])
        require_order(self.nodes)

    def constant(self, name: str) -> npt.NDArray[Any] | None:
        """The constant of that name, read-only where it is stored as it is used; None where there is none."""
        data = self._constants.get(name)
        return None if data is None else _array(data)

    def add_constant(self, name: str, values: npt.NDArray[Any]) -> str:
        """Add a constant, float32, uint8, int8, int32 or int64; returns its name, which no other may have."""
        kind = next(kind for kind, dtype in _DTYPES.items() if np.dtype(dtype) == values.dtype)
        sides = b"".join(varint(side) for side in values.shape)
        self._constants[name] = b"".join(
            [
                bytes_field(_TENSOR_SIDE, sides),
                number_field(_TENSOR_TYPE, kind),
                bytes_field(_TENSOR_NAME, name.encode()),
                bytes_field(_TENSOR_RAW, values.astype(values.dtype.newbyteorder("<")).tobytes()),
            ]
        )
        return name

    def replace_output(self, name: str, by: str) -> None:
        """Give the value `by` instead of the output `name`; its type is left for whoever loads the model to infer."""
        self._rest = [
            each
            for each in self._rest
            if not (each[0] == _GRAPH_OUTPUT and text_in(each[2], _VALUE_NAME) == name)
        ]
        self._rest.append((_GRAPH_OUTPUT, BYTES, bytes_field(_VALUE_NAME, by.encode())))
        self.outputs = self.outputs - {name} | {by}

    def rename(self, value: str, name: str) -> None:
        """Call a value that a node computes by another name, which no other may have."""
        for node in self.nodes:
            node.inputs = [name if each == value else each for each in node.inputs]
            node.outputs = [name if each == value else each for each in node.outputs]

    def give(self, spec: TensorSpec) -> None:
        """Let the value of that name, float32 or float16, be an input instead of what a node computes."""
        self.nodes = [node for node in self.nodes if spec.name not in node.outputs]
        sides = [bytes_field(_SHAPE_SIDE, number_field(_SIDE_LENGTH, side)) for side in spec.shape]
        kind = number_field(_TYPE_DTYPE, _VALUE_DTYPES[spec.dtype]) + bytes_field(
            _TYPE_SHAPE, b"".join(sides)
        )
        value = bytes_field(_VALUE_NAME, spec.name.encode())
        value += bytes_field(_VALUE_TYPE, bytes_field(_TYPE_TENSOR, kind))
        self._rest.append((_GRAPH_INPUT, BYTES, value))
        self.inputs |= {spec.name}

    def reduce_to(self, outputs: Collection[str]) -> None:
        """Give these values, and leave out all that they do not need: nodes, constants and inputs.

        The type of a value that was no output is left for whoever loads the model to infer.
        """
        needed, nodes = set(outputs), []
        for node in reversed(self.nodes):
            if needed.intersection(node.outputs):
                needed.update(node.inputs)
                nodes.append(node)
        self.nodes = nodes[::-1]
        self._constants = {name: data for name, data in self._constants.items() if name in needed}
        kept = {_GRAPH_INPUT: needed, _GRAPH_OUTPUT: outputs}
        self._rest = [
            each
            for each in self._rest
            if each[0] not in kept or text_in(each[2], _VALUE_NAME) in kept[each[0]]
        ]
        for name in sorted(set(outputs) - self.outputs):
            self._rest.append((_GRAPH_OUTPUT, BYTES, bytes_field(_VALUE_NAME, name.encode())))
        self.inputs, self.outputs = self.inputs & needed, frozenset(outputs)

    def readers(self) -> dict[str, list[Node]]:
        """By the name of a value: the nodes that read it."""
        result: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                result.setdefault(name, []).append(node)
        return result

    def makers(self) -> dict[str, Node]:
        """By the name of a value: the node that computes it."""
        return {name: node for node in self.nodes for name in node.outputs}

    def serialised(self) -> bytes:
        """The model with the nodes and constants as they are now."""
        parts: list[Any] = []
        for node in self.nodes:
            parts += prefixed(_GRAPH_NODE, [node_bytes(node)])
        for data in self._constants.values():
            parts += prefixed(_GRAPH_CONSTANT, [data])
        for each in self._rest:
            parts += written(each)
        model: list[Any] = []
        for each in self._model:
            model += prefixed(_MODEL_GRAPH, parts) if each[0] == _MODEL_GRAPH else written(each)
        return b"".join(model)


def _array(data: Any) -> npt.NDArray[Any]:
    found = list(fields(data))
    kind = next((value for number, _, value in found if number == _TENSOR_TYPE), None)
    if kind not in _DTYPES:
        raise ValueError(f"a constant has the type {kind}, expected one of {sorted(_DTYPES)}")
    raw = [octets(each) for each in found if each[0] == _TENSOR_RAW]
    if raw:
        values = np.frombuffer(raw[0], _DTYPES[kind])
    elif kind == 1:
        listed = [each for each in found if each[0] == _TENSOR_FLOATS]
        stored = b"".join(each[2] if each[1] == FIXED32 else octets(each) for each in listed)
        values = np.frombuffer(stored, _DTYPES[kind])
    else:
        wanted = _TENSOR_LONGS if kind == 7 else _TENSOR_INTS
        values = np.array(integers_in(found, wanted), np.int64).astype(_DTYPES[kind])
    return values.reshape(integers_in(found, _TENSOR_SIDE))
