"""The wire form of ROS 2 messages: OMG CDR (XCDR version 1, plain), with its four header bytes."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from tdnet_runtime.errors import MediaError

__all__ = ["HEADER_BYTES", "CdrReader", "CdrWriter", "byte_view"]

HEADER_BYTES = 4
_ORDERS = {b"\0\0": ">", b"\0\1": "<"}
_OTHER_KINDS = {2: "a parameter list", 3: "a parameter list"} | dict.fromkeys(range(6, 12), "XCDR version 2")


def byte_view(data: Any) -> npt.NDArray[np.uint8]:
    """`data` as uint8 [N] without a copy, read-only where it is.

    Args:
        data: bytes, bytearray, memoryview or an array, C-contiguous.
    """
    return np.frombuffer(data, dtype=np.uint8) if len(data) else np.empty(0, dtype=np.uint8)


class CdrReader:
    """Reads one message's fields in order; what is left at the end is no matter.

    Every length is checked against what is there before anything is made of it.

    Args:
        data: the message, header bytes first: bytes, memoryview or uint8 [N]. Views of it are given out.

    Raises:
        MediaError: from here and every method: it is no plain CDR, or ends too soon.
    """

    def __init__(self, data: Any) -> None:
        self._data = byte_view(data)
        self._buffer = self._data.data
        if self._data.size < HEADER_BYTES:
            raise MediaError(
                f"reading a message: it has {self._data.size} bytes; expected CDR, which begins with {HEADER_BYTES}"
            )
        kind = self._data[:2].tobytes()
        order = _ORDERS.get(kind)
        if order is None:
            name = _OTHER_KINDS.get(kind[1], "unknown") if kind[0] == 0 else "unknown"
            raise MediaError(
                f"reading a message: its representation is 0x{kind.hex()} ({name}); expected plain CDR, 0x0000 or 0x0001"
            )
        self._order = order
        self._place = HEADER_BYTES

    def _take(self, size: int, *, align: int = 1) -> int:
        """Where the next `size` bytes begin."""
        begin = self._place + (HEADER_BYTES - self._place) % align  # alignment counts from behind the header
        if begin + size > self._data.size:
            raise MediaError(
                f"reading a message: it is cut short: {size} bytes are due at byte {begin}, it has {self._data.size}"
            )
        self._place = begin + size
        return begin

    def _number(self, form: str, size: int) -> Any:
        return struct.unpack_from(self._order + form, self._buffer, self._take(size, align=size))[0]

    def uint8(self) -> int:
        """The next octet."""
        return int(self._number("B", 1))

    def uint16(self) -> int:
        """The next 16-bit number."""
        return int(self._number("H", 2))

    def int32(self) -> int:
        """The next signed 32-bit number."""
        return int(self._number("i", 4))

    def uint32(self) -> int:
        """The next 32-bit number."""
        return int(self._number("I", 4))

    def float32(self) -> float:
        """The next single-precision number."""
        return float(self._number("f", 4))

    def string(self) -> str:
        """The next string; bytes that are no UTF-8 become U+FFFD."""
        size = self.uint32()
        if size == 0:  # not by the standard, but written by some
            return ""
        begin = self._take(size)
        if self._data[begin + size - 1] != 0:
            raise MediaError(f"reading a message: the string at byte {begin} does not end with a zero")
        return self._data[begin : begin + size - 1].tobytes().decode(errors="replace")

    def octets(self) -> npt.NDArray[np.uint8]:
        """The next sequence of octets: uint8 [N], a view of the message."""
        size = self.uint32()
        begin = self._take(size)
        return self._data[begin : begin + size]

    def count(self, least_bytes: int) -> int:
        """Length of the next sequence, whose elements have at least `least_bytes` each.

        Raises:
            MediaError: so many are not there.
        """
        count = self.uint32()
        if count * least_bytes > self._data.size - self._place:
            raise MediaError(
                f"reading a message: a sequence claims {count} elements; {self._data.size - self._place} bytes are left"
            )
        return count


class CdrWriter:
    """Writes one message's fields in order, little-endian."""

    def __init__(self) -> None:
        self._parts: list[Any] = [b"\0\1\0\0"]
        self._size = 0

    def _add(self, data: Any, size: int, *, align: int = 1) -> None:
        filling = -self._size % align
        if filling:
            self._parts.append(bytes(filling))
        self._parts.append(data)
        self._size += filling + size

    def _number(self, form: str, size: int, value: float) -> None:
        try:
            packed = struct.pack("<" + form, value)
        except (struct.error, OverflowError) as error:
            raise MediaError(f"writing a message: {value!r} does not fit its field ({error})") from error
        self._add(packed, size, align=size)

    def uint8(self, value: int) -> None:
        """One octet."""
        self._number("B", 1, value)

    def uint16(self, value: int) -> None:
        """A 16-bit number."""
        self._number("H", 2, value)

    def int32(self, value: int) -> None:
        """A signed 32-bit number."""
        self._number("i", 4, value)

    def uint32(self, value: int) -> None:
        """A 32-bit number."""
        self._number("I", 4, value)

    def float32(self, value: float) -> None:
        """A single-precision number."""
        self._number("f", 4, value)

    def string(self, value: str) -> None:
        """A string, up to its first null character, where C programs end it."""
        text = value.partition("\0")[0].encode(errors="replace") + b"\0"
        self.uint32(len(text))
        self._add(text, len(text))

    def octets(self, value: Any) -> None:
        """A sequence of octets; `value` as for `byte_view`, copied by `finish` alone."""
        view = memoryview(value)
        self.uint32(view.nbytes)
        self._add(view, view.nbytes)

    def finish(self) -> bytes:
        """The message, header bytes first."""
        return b"".join(self._parts)
