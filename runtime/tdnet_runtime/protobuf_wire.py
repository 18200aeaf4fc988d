"""Protocol Buffers' bytes (https://protobuf.dev/programming-guides/encoding/): fields read one by one, and written.

What a field's number means is the business of whoever reads: `ros.protobuf` and `backends.onnx_bytes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

__all__ = [
    "BYTES",
    "FIXED32",
    "FIXED64",
    "VARINT",
    "Field",
    "bytes_field",
    "fields",
    "number_field",
    "numbers",
    "octets",
    "prefixed",
    "signed",
    "varint",
    "written",
]

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""The wire types; groups (3 and 4) are of a time before ONNX and Foxglove."""

Field = tuple[int, int, Any]
"""Number, wire type, and the value: an int for VARINT, else a view of the message's bytes."""

_LENGTHS = {FIXED32: 4, FIXED64: 8}
_VARINT_BYTES = 10


def fields(data: Any) -> Iterator[Field]:
    """Each field of a message in order.

    Args:
        data: the message: a memoryview or uint8 [N]. Slices of it are given out.

    Raises:
        ValueError: it is no message, or cut short; says at which byte.
    """
    place, size = 0, len(data)
    while place < size:
        key, place = _read_varint(data, place)
        wire = key & 7
        if wire == VARINT:
            value, place = _read_varint(data, place)
            yield key >> 3, wire, value
            continue
        if wire == BYTES:
            length, place = _read_varint(data, place)
        elif wire in _LENGTHS:
            length = _LENGTHS[wire]
        else:
            raise ValueError(
                f"a field of wire type {wire} at byte {place}; it is no Protocol Buffers message"
            )
        if length > size - place:
            raise ValueError(f"it is cut short: {length} bytes are due at byte {place}, it has {size}")
        yield key >> 3, wire, data[place : place + length]
        place += length


def numbers(each: Field) -> list[int]:
    """A field of a repeated integer, packed or not; negative ones as 64-bit two's complement says (`signed`).

    Raises:
        ValueError: it holds a number of 4 or 8 bytes, or the list is cut short.
    """
    _, wire, value = each
    if wire == VARINT:
        return [signed(value)]
    value, result, place = octets(each), [], 0
    while place < len(value):
        number, place = _read_varint(value, place)
        result.append(signed(number))
    return result


def octets(each: Field) -> Any:
    """What a field of bytes, a text or a message holds: a view.

    Raises:
        ValueError: it holds a number.
    """
    number, wire, value = each
    if wire != BYTES:
        raise ValueError(f"field {number} holds a number, expected bytes")
    return value


def signed(value: int) -> int:
    """An unsigned integer of 64 bits as two's complement."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


def varint(value: int) -> bytes:
    """An integer as a message holds it: seven bits a byte, the lowest first."""
    value &= (1 << 64) - 1
    result = bytearray()
    while value > 0x7F:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    result.append(value)
    return bytes(result)


def number_field(number: int, value: int) -> bytes:
    """A field that holds an integer."""
    return varint(number << 3 | VARINT) + varint(value)


def bytes_field(number: int, data: bytes) -> bytes:
    """A field that holds bytes, a text or a message."""
    return b"".join(prefixed(number, [data]))


def prefixed(number: int, parts: Iterable[Any]) -> list[Any]:
    """`bytes_field` of several parts, none of which is copied."""
    parts = list(parts)
    return [varint(number << 3 | BYTES), varint(sum(map(len, parts))), *parts]


def written(each: Field) -> list[Any]:
    """A field that was read, as the parts of its bytes."""
    number, wire, value = each
    if wire == VARINT:
        return [number_field(number, value)]
    return prefixed(number, [value]) if wire == BYTES else [varint(number << 3 | wire), value]


def _read_varint(data: Any, place: int) -> tuple[int, int]:
    """The integer at `place`, and where it ends."""
    value = 0
    for index in range(min(_VARINT_BYTES, len(data) - place)):
        byte = int(data[place + index])
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, place + index + 1
    raise ValueError(f"the number at byte {place} has no end; it is damaged or cut short")
