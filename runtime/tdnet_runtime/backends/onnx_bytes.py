"""ONNX graphs as their bytes: nodes and constants read, changed and written again, without the package `onnx`.

What is not asked for is carried along as it stands, but for notes on the types of inner values, which may change.
Field numbers are those of `onnx.proto3`; a graph is what `tdnet-export` writes: no subgraphs, no external data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Node", "OnnxGraph"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_CONSTANT, _GRAPH_OUTPUT, _GRAPH_NOTE = 1, 5, 12, 13
_VALUE_NAME = 1
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_KIND, _NODE_ATTRIBUTE = 1, 2, 3, 4, 5
_TENSOR_SIDE, _TENSOR_TYPE, _TENSOR_FLOATS, _TENSOR_INTS, _TENSOR_LONGS, _TENSOR_NAME, _TENSOR_RAW = (
    1,
    2,
    4,
    5,
    7,
    8,
    9,
)
_ATTRIBUTE_NAME, _ATTRIBUTE_INT, _ATTRIBUTE_TEXT, _ATTRIBUTE_INTS, _ATTRIBUTE_KIND = 1, 3, 4, 8, 20
_KIND_INT, _KIND_TEXT, _KIND_INTS = 2, 3, 7
_DTYPES = {1: "<f4", 2: "u1", 3: "i1", 6: "<i4", 7: "<i8"}

Attribute = int | str | list[int]
Field = tuple[int, int, Any]
"""Number, wire type, and the integer or the bytes."""


@dataclass(slots=True)
class Node:
    """One operation.

    Attributes:
        kind: ONNX operator.
        inputs: names of values; "" for one left out.
        outputs: names of values.
        name: its own.
        attributes: integers, texts and lists of integers, by name; changing them changes nothing where `carried` is set.
        carried: fields that are written as they were read; of a node that was made here, none.
    """

    kind: str
    inputs: list[str]
    outputs: list[str]
    name: str
    attributes: dict[str, Attribute] = field(default_factory=dict)
    carried: list[Field] | None = None


class OnnxGraph:
    """The graph of a model.

    Args:
        data: a serialised `ModelProto`.

    Attributes:
        nodes: in order.
        outputs: names of the values that it gives.

    Raises:
        ValueError: these bytes are no such model.
    """

    def __init__(self, data: bytes) -> None:
        self._model = list(_fields(memoryview(data)))
        graphs = [value for number, _, value in self._model if number == _MODEL_GRAPH]
        if len(graphs) != 1:
            raise ValueError(f"a model has {len(graphs)} graphs, expected 1")
        self.nodes: list[Node] = []
        self._constants: dict[str, Any] = {}
        outputs = []
        self._rest: list[Field] = []
        for number, wire, value in _fields(graphs[0]):
            if number == _GRAPH_NODE:
                self.nodes.append(_node(value))
            elif number == _GRAPH_CONSTANT:
                self._constants[_name(value, _TENSOR_NAME)] = value
            elif number != _GRAPH_NOTE:
                self._rest.append((number, wire, value))
                if number == _GRAPH_OUTPUT:
                    outputs.append(_name(value, _VALUE_NAME))
        self.outputs = frozenset(outputs)

    def constant(self, name: str) -> npt.NDArray[Any] | None:
        """The constant of that name, read-only where it is stored as it is used; None where there is none."""
        data = self._constants.get(name)
        return None if data is None else _array(data)

    def add_constant(self, name: str, values: npt.NDArray[Any]) -> str:
        """Add a constant, float32, uint8, int8, int32 or int64; returns its name, which no other may have."""
        kind = next(kind for kind, dtype in _DTYPES.items() if np.dtype(dtype) == values.dtype)
        sides = b"".join(_varint(side) for side in values.shape)
        self._constants[name] = b"".join(
            [
                _lengthed(_TENSOR_SIDE, sides),
                _number(_TENSOR_TYPE, kind),
                _lengthed(_TENSOR_NAME, name.encode()),
                _lengthed(_TENSOR_RAW, values.astype(values.dtype.newbyteorder("<")).tobytes()),
            ]
        )
        return name

    def replace_output(self, name: str, by: str) -> None:
        """Give the value `by` instead of the output `name`; its type is left for whoever loads the model to infer."""
        self._rest = [
            each
            for each in self._rest
            if not (each[0] == _GRAPH_OUTPUT and _name(each[2], _VALUE_NAME) == name)
        ]
        self._rest.append((_GRAPH_OUTPUT, _BYTES, _lengthed(_VALUE_NAME, by.encode())))
        self.outputs = self.outputs - {name} | {by}

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
            parts += _prefixed(_GRAPH_NODE, _node_bytes(node))
        for data in self._constants.values():
            parts += _prefixed(_GRAPH_CONSTANT, data)
        for each in self._rest:
            parts += _written(each)
        size = sum(map(len, parts))
        model: list[Any] = []
        for number, wire, value in self._model:
            if number == _MODEL_GRAPH:
                model += [_varint(number << 3 | _BYTES), _varint(size), *parts]
            else:
                model += _written((number, wire, value))
        return b"".join(model)


def _fields(data: Any) -> Iterator[Field]:
    place, size = 0, len(data)
    while place < size:
        key, place = _read_varint(data, place)
        wire, value = key & 7, 0
        if wire == _VARINT:
            value, place = _read_varint(data, place)
            yield key >> 3, wire, value
            continue
        length = {_FIXED64: 8, _FIXED32: 4}.get(wire)
        if wire == _BYTES:
            length, place = _read_varint(data, place)
        if length is None or place + length > size:
            raise ValueError(f"a field of the model is damaged: {key >> 3}")
        yield key >> 3, wire, data[place : place + length]
        place += length


def _read_varint(data: Any, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            break
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("a number of the model is damaged")


def _node(data: Any) -> Node:
    found: dict[int, list[str]] = {_NODE_INPUT: [], _NODE_OUTPUT: [], _NODE_NAME: [], _NODE_KIND: []}
    attributes: dict[str, Attribute] = {}
    carried: list[Field] = []
    for number, wire, value in _fields(data):
        if number in found:
            found[number].append(str(value, "utf-8"))
            continue
        carried.append((number, wire, value))
        if number == _NODE_ATTRIBUTE:
            attributes |= _attribute(value)
    return Node(
        kind="".join(found[_NODE_KIND]),
        inputs=found[_NODE_INPUT],
        outputs=found[_NODE_OUTPUT],
        name="".join(found[_NODE_NAME]),
        attributes=attributes,
        carried=carried,
    )


def _attribute(data: Any) -> dict[str, Attribute]:
    fields = list(_fields(data))
    kind = next((value for number, _, value in fields if number == _ATTRIBUTE_KIND), None)
    name = _name(data, _ATTRIBUTE_NAME)
    if kind == _KIND_INTS:
        return {name: _integers(fields, _ATTRIBUTE_INTS)}
    if kind == _KIND_INT:
        return {name: next((_signed(v) for number, _, v in fields if number == _ATTRIBUTE_INT), 0)}
    if kind == _KIND_TEXT:
        return {name: _name(data, _ATTRIBUTE_TEXT)}
    return {}


def _integers(fields: Iterable[Field], wanted: int) -> list[int]:
    """A repeated integer, packed or not."""
    result = []
    for number, wire, value in fields:
        if number == wanted and wire == _VARINT:
            result.append(_signed(value))
        elif number == wanted:
            place = 0
            while place < len(value):
                each, place = _read_varint(value, place)
                result.append(_signed(each))
    return result


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _name(data: Any, wanted: int) -> str:
    return next((str(value, "utf-8") for number, _, value in _fields(data) if number == wanted), "")


def _array(data: Any) -> npt.NDArray[Any]:
    fields = list(_fields(data))
    kind = next((value for number, _, value in fields if number == _TENSOR_TYPE), None)
    if kind not in _DTYPES:
        raise ValueError(f"a constant has the type {kind}, expected one of {sorted(_DTYPES)}")
    raw = [value for number, _, value in fields if number == _TENSOR_RAW]
    if raw:
        values = np.frombuffer(raw[0], _DTYPES[kind])
    elif kind == 1:
        stored = b"".join(value for number, _, value in fields if number == _TENSOR_FLOATS)
        values = np.frombuffer(stored, _DTYPES[kind])
    else:
        wanted = _TENSOR_LONGS if kind == 7 else _TENSOR_INTS
        values = np.array(_integers(fields, wanted), np.int64).astype(_DTYPES[kind])
    return values.reshape(_integers(fields, _TENSOR_SIDE))


def _node_bytes(node: Node) -> bytes:
    parts = [_lengthed(_NODE_INPUT, name.encode()) for name in node.inputs]
    parts += [_lengthed(_NODE_OUTPUT, name.encode()) for name in node.outputs]
    parts += [_lengthed(_NODE_NAME, node.name.encode()), _lengthed(_NODE_KIND, node.kind.encode())]
    if node.carried is not None:
        parts += [part for each in node.carried for part in _written(each)]
        return b"".join(parts)
    for name, value in node.attributes.items():
        attribute = _lengthed(_ATTRIBUTE_NAME, name.encode())
        if isinstance(value, int):
            attribute += _number(_ATTRIBUTE_INT, value) + _number(_ATTRIBUTE_KIND, _KIND_INT)
        elif isinstance(value, str):
            attribute += _lengthed(_ATTRIBUTE_TEXT, value.encode()) + _number(_ATTRIBUTE_KIND, _KIND_TEXT)
        else:
            attribute += b"".join(_number(_ATTRIBUTE_INTS, each) for each in value)
            attribute += _number(_ATTRIBUTE_KIND, _KIND_INTS)
        parts.append(_lengthed(_NODE_ATTRIBUTE, attribute))
    return b"".join(parts)


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    result = bytearray()
    while value > 0x7F:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    result.append(value)
    return bytes(result)


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(value)


def _lengthed(number: int, data: bytes) -> bytes:
    return b"".join(_prefixed(number, data))


def _prefixed(number: int, data: Any) -> list[Any]:
    return [_varint(number << 3 | _BYTES), _varint(len(data)), data]


def _written(each: Field) -> list[Any]:
    number, wire, value = each
    if wire == _VARINT:
        return [_number(number, value)]
    return _prefixed(number, value) if wire == _BYTES else [_varint(number << 3 | wire), value]
