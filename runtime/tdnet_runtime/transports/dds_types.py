"""What Cyclone DDS must know of a message type to move it: its fields as the ops of `dds_opcodes.h`.

No type information is made of them, so that none is on the wire. Cyclone DDS 11.0.1 with it is refused by Fast DDS 3 (ROS 2
Kilted), and Cyclone DDS 0.10 peers were seen to crash; readers match by the type's name, as ROS 2's own do.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from dataclasses import dataclass, field

from tdnet_runtime.ros.types import MessageType

__all__ = ["TopicDescriptor", "descriptor_of"]

_ADDRESS, _RETURN = 1 << 24, 0
_STRING, _SEQUENCE, _STRUCT = 5, 7, 10
_SIGNED, _FLOAT = 1 << 2, 1 << 1
_NUMBERS = {  # bytes, and the op's type and flags
    "uint8": (1, 1 << 16),
    "uint16": (2, 2 << 16),
    "int32": (4, 3 << 16 | _SIGNED),
    "uint32": (4, 3 << 16),
    "float32": (4, 3 << 16 | _FLOAT),
}
_POINTER_BYTES, _SEQUENCE_BYTES = 8, 24  # char *; dds_sequence_t
_STRUCT_SEQUENCE_WORDS = 4


class _Serialized(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_uint32))


class TopicDescriptor(ctypes.Structure):
    """dds_topic_descriptor_t."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("align", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("key_count", ctypes.c_uint32),
        ("type_name", ctypes.c_char_p),
        ("keys", ctypes.c_void_p),
        ("op_count", ctypes.c_uint32),
        ("ops", ctypes.POINTER(ctypes.c_uint32)),
        ("meta", ctypes.c_char_p),
        ("type_information", _Serialized),
        ("type_mapping", _Serialized),
        ("representations", ctypes.c_uint32),
    )


@dataclass
class _Layout:
    """A C struct in the making: nested structs are laid out flat, which has the same wire form."""

    ops: list[int] = field(default_factory=list)
    op_count: int = 0
    elements: list[tuple[int, _Layout]] = field(default_factory=list)  # word with the jump, and the struct
    size: int = 0

    def place(self, size: int, align: int) -> int:
        """Offset of the next field."""
        offset = self.size + -self.size % align
        self.size = offset + size
        return offset

    def op(self, code: int, *words: int) -> None:
        self.ops += [_ADDRESS | code, *words]
        self.op_count += 1


def descriptor_of(kind: MessageType) -> TopicDescriptor:
    """The descriptor of a message type; it holds what it points to."""
    layout = _Layout()
    _add(layout, kind.fields, {used.name: used for used in kind.uses})
    layout.ops.append(_RETURN)
    for word, element in layout.elements:
        begin = word - _STRUCT_SEQUENCE_WORDS + 1
        layout.ops[word] = _STRUCT_SEQUENCE_WORDS << 16 | (len(layout.ops) - begin)
        layout.ops += [*element.ops, _RETURN]
        layout.op_count += element.op_count
    ops = (ctypes.c_uint32 * len(layout.ops))(*layout.ops)
    size = layout.size + -layout.size % _POINTER_BYTES
    return TopicDescriptor(
        size=size,
        align=_POINTER_BYTES,
        type_name=kind.dds_name.encode(),
        op_count=layout.op_count + 1,
        ops=ops,
        meta=b"",
    )


def _add(layout: _Layout, fields: Iterable[str], uses: dict[str, MessageType]) -> None:
    for line in fields:
        kind = line.split()[0]
        sequence, kind = kind.endswith("[]"), kind.removesuffix("[]")
        nested = uses.get(kind.replace("/", "/msg/"))
        if sequence and nested is not None:
            element = _Layout()
            _add(element, nested.fields, uses)
            size = element.size + -element.size % _POINTER_BYTES
            offset = layout.place(_SEQUENCE_BYTES, _POINTER_BYTES)
            layout.op(_SEQUENCE << 16 | _STRUCT << 8, offset, size, 0)
            layout.elements.append((len(layout.ops) - 1, element))
        elif nested is not None:
            _add(layout, nested.fields, uses)
        elif sequence:
            code = _NUMBERS[kind][1]
            offset = layout.place(_SEQUENCE_BYTES, _POINTER_BYTES)
            layout.op(_SEQUENCE << 16 | code >> 8 & 0xFF00 | code & 0xFF, offset)
        elif kind == "string":
            layout.op(_STRING << 16, layout.place(_POINTER_BYTES, _POINTER_BYTES))
        else:
            size, code = _NUMBERS[kind]
            layout.op(code, layout.place(size, size))
