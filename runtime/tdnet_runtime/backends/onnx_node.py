"""One operation of an ONNX graph, read from its bytes and written again; and what other messages of it are read with.

Field numbers are those of `onnx.proto3`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tdnet_runtime.protobuf_wire import Field, bytes_field, fields, number_field, numbers, octets, written

__all__ = ["Attribute", "Node", "integers_in", "node_bytes", "read_node", "require_order", "text_in"]

_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_KIND, _NODE_ATTRIBUTE = 1, 2, 3, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_INT, _ATTRIBUTE_TEXT, _ATTRIBUTE_INTS, _ATTRIBUTE_KIND = 1, 3, 4, 8, 20
_KIND_INT, _KIND_TEXT, _KIND_INTS = 2, 3, 7

Attribute = int | str | list[int]


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


def require_order(nodes: Sequence[Node]) -> None:
    """Nothing is read before it is made, and nothing made twice: who follows values from node to node comes to an end.

    Raises:
        ValueError: it is.
    """
    unmade = {name for node in nodes for name in node.outputs if name}
    for node in nodes:
        early = next((name for name in node.inputs if name in unmade), None)
        if early is not None:
            raise ValueError(f"node {node.name!r} reads {early!r} before it is made")
        for name in filter(None, node.outputs):
            if name not in unmade:
                raise ValueError(f"two nodes make {name!r}")
            unmade.discard(name)


def read_node(data: Any) -> Node:
    """The node of these bytes."""
    found: dict[int, list[str]] = {_NODE_INPUT: [], _NODE_OUTPUT: [], _NODE_NAME: [], _NODE_KIND: []}
    attributes: dict[str, Attribute] = {}
    carried: list[Field] = []
    for each in fields(data):
        if each[0] in found:
            found[each[0]].append(str(octets(each), "utf-8"))
            continue
        carried.append(each)
        if each[0] == _NODE_ATTRIBUTE:
            attributes |= _attribute(octets(each))
    return Node(
        kind="".join(found[_NODE_KIND]),
        inputs=found[_NODE_INPUT],
        outputs=found[_NODE_OUTPUT],
        name="".join(found[_NODE_NAME]),
        attributes=attributes,
        carried=carried,
    )


def _attribute(data: Any) -> dict[str, Attribute]:
    found = list(fields(data))
    kind = next((value for number, _, value in found if number == _ATTRIBUTE_KIND), None)
    name = text_in(data, _ATTRIBUTE_NAME)
    if kind == _KIND_INTS:
        return {name: integers_in(found, _ATTRIBUTE_INTS)}
    if kind == _KIND_INT:
        return {name: next(iter(integers_in(found, _ATTRIBUTE_INT)), 0)}
    if kind == _KIND_TEXT:
        return {name: text_in(data, _ATTRIBUTE_TEXT)}
    return {}


def integers_in(found: list[Field], wanted: int) -> list[int]:
    """The integers of the fields of that number."""
    return [value for each in found if each[0] == wanted for value in numbers(each)]


def text_in(data: Any, wanted: int) -> str:
    """The text in the first field of that number; "" without one."""
    return next((str(octets(each), "utf-8") for each in fields(data) if each[0] == wanted), "")


def node_bytes(node: Node) -> bytes:
    """What `read_node` reads."""
    parts = [bytes_field(_NODE_INPUT, name.encode()) for name in node.inputs]
    parts += [bytes_field(_NODE_OUTPUT, name.encode()) for name in node.outputs]
    parts += [bytes_field(_NODE_NAME, node.name.encode()), bytes_field(_NODE_KIND, node.kind.encode())]
    if node.carried is not None:
        parts += [part for each in node.carried for part in written(each)]
        return b"".join(parts)
    for name, value in node.attributes.items():
        attribute = bytes_field(_ATTRIBUTE_NAME, name.encode())
        if isinstance(value, int):
            attribute += number_field(_ATTRIBUTE_INT, value) + number_field(_ATTRIBUTE_KIND, _KIND_INT)
        elif isinstance(value, str):
            attribute += bytes_field(_ATTRIBUTE_TEXT, value.encode()) + number_field(
                _ATTRIBUTE_KIND, _KIND_TEXT
            )
        else:
            attribute += b"".join(number_field(_ATTRIBUTE_INTS, each) for each in value)
            attribute += number_field(_ATTRIBUTE_KIND, _KIND_INTS)
        parts.append(bytes_field(_NODE_ATTRIBUTE, attribute))
    return b"".join(parts)
