"""Tests for tdnet_runtime.protobuf_wire: by hand-made bytes, and against ONNX's own messages."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import AttributeProto

from tdnet_runtime.protobuf_wire import (
    BYTES,
    FIXED32,
    VARINT,
    fields,
    number_field,
    numbers,
    octets,
    signed,
    varint,
    written,
)

# A node's attribute: a text, a float of 4 bytes, a negative integer, a list.
ATTRIBUTE = AttributeProto(name="axis", f=0.5, i=-3, ints=[1, -1, 300], type=AttributeProto.INTS)


@pytest.mark.parametrize(
    "view", [memoryview, lambda data: np.frombuffer(data, np.uint8)], ids=["memoryview", "array"]
)
def test_every_field_as_protobuf_wrote_it(view) -> None:
    found = list(fields(view(ATTRIBUTE.SerializeToString())))
    by_number = {number: (wire, value) for number, wire, value in found}
    assert by_number[1][0] == BYTES
    assert bytes(by_number[1][1]) == b"axis"
    assert by_number[2][0] == FIXED32
    assert np.frombuffer(by_number[2][1], "<f4") == 0.5
    assert by_number[3][0] == VARINT
    assert signed(by_number[3][1]) == -3
    assert [each for field in found if field[0] == 8 for each in numbers(field)] == [1, -1, 300]
    assert (
        b"".join(bytes(part) for field in found for part in written(field)) == ATTRIBUTE.SerializeToString()
    )


def test_a_packed_list_is_the_same_list() -> None:
    (packed,) = fields(memoryview(b"\x42\x04" + varint(1) + varint(300) + varint(7)))
    assert numbers(packed) == [1, 300, 7]


@pytest.mark.parametrize("read", [octets, numbers])
def test_a_number_where_bytes_are_due(read) -> None:
    (each,) = fields(memoryview(b"\x45abcd"))
    with pytest.raises(ValueError, match=r"^field 8 holds a number, expected bytes$"):
        read(each)


def test_no_byte_of_a_view_is_copied() -> None:
    message = np.frombuffer(bytearray(b"\x0a\x03abc"), np.uint8)
    ((_, _, value),) = fields(message)
    assert np.shares_memory(value, message)


@pytest.mark.parametrize("value", [0, 1, 127, 128, 2**31, 2**63 - 1, -1, -(2**63)])
def test_an_integer_comes_back(value: int) -> None:
    ((number, wire, found),) = fields(memoryview(number_field(5, value)))
    assert (number, wire, signed(found)) == (5, VARINT, value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x0a\x05abc", "it is cut short: 5 bytes are due at byte 2, it has 5"),
        (b"\x15ab", "it is cut short: 4 bytes are due at byte 1, it has 3"),
        (b"\x0b", "a field of wire type 3 at byte 1; it is no Protocol Buffers message"),
        (b"\x08" + b"\xff" * 10, "the number at byte 1 has no end"),
        (b"\x08", "the number at byte 1 has no end; it is damaged or cut short"),
    ],
)
def test_what_is_no_message(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        list(fields(memoryview(data)))
