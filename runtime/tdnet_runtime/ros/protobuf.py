"""Foxglove's messages in the form of Protocol Buffers, as foxglove-sdk writes them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tdnet_runtime.errors import MediaError
from tdnet_runtime.ros.cdr import byte_view
from tdnet_runtime.ros.messages import CompressedImage, CompressedVideo, RawImage

__all__ = ["compressed_image_from_protobuf", "compressed_video_from_protobuf", "raw_image_from_protobuf"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_EMPTY = np.empty(0, dtype=np.uint8)
_VARINT_BYTES = 10
_FieldValue = int | npt.NDArray[np.uint8]


def raw_image_from_protobuf(data: Any) -> RawImage:
    """Read a foxglove.RawImage; its pixels are a view of `data`.

    Raises:
        MediaError: it is none.
    """
    fields = _fields(data)
    return RawImage(
        stamp_ns=_stamp_ns(fields),
        frame_id=_text(fields, 7),
        height=_number(fields, 3),
        width=_number(fields, 2),
        encoding=_text(fields, 4),
        is_bigendian=False,
        step=_number(fields, 5),
        data=_octets(fields, 6),
    )


def compressed_image_from_protobuf(data: Any) -> CompressedImage:
    """Read a foxglove.CompressedImage; see `raw_image_from_protobuf`."""
    fields = _fields(data)
    return CompressedImage(
        stamp_ns=_stamp_ns(fields),
        frame_id=_text(fields, 4),
        format=_text(fields, 3),
        data=_octets(fields, 2),
    )


def compressed_video_from_protobuf(data: Any) -> CompressedVideo:
    """Read a foxglove.CompressedVideo; see `raw_image_from_protobuf`."""
    fields = _fields(data)
    return CompressedVideo(
        stamp_ns=_stamp_ns(fields),
        frame_id=_text(fields, 2),
        format=_text(fields, 4),
        data=_octets(fields, 3),
    )


def _fields(data: Any) -> dict[int, _FieldValue]:
    """The last value of each field by its number."""
    return dict(_each_field(byte_view(data)))


def _each_field(data: npt.NDArray[np.uint8]) -> Iterator[tuple[int, _FieldValue]]:
    place = 0
    while place < data.size:
        key, place = _varint(data, place)
        kind, value = key & 7, 0
        if kind == _VARINT:
            value, place = _varint(data, place)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, place = _varint(data, place)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise MediaError(
                f"reading a message: a field of wire type {kind} at byte {place}; it is no Protocol Buffers message"
            )
        if size > data.size - place:
            raise MediaError(
                f"reading a message: it is cut short: {size} bytes are due at byte {place}, it has {data.size}"
            )
        chunk = data[place : place + size]
        yield key >> 3, chunk if kind == _BYTES else int.from_bytes(chunk.tobytes(), "little")
        place += size


def _varint(data: npt.NDArray[np.uint8], place: int) -> tuple[int, int]:
    """The number at `place`, and where it ends."""
    value = 0
    for index, byte in enumerate(data[place : place + _VARINT_BYTES].tolist()):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, place + index + 1
    raise MediaError(f"reading a message: the number at byte {place} has no end; it is damaged or cut short")


def _number(fields: dict[int, _FieldValue], field: int) -> int:
    value = fields.get(field, 0)
    if not isinstance(value, int):
        raise MediaError(
            f"reading a message: field {field} holds bytes, expected a number; is it of another type?"
        )
    return value


def _octets(fields: dict[int, _FieldValue], field: int) -> npt.NDArray[np.uint8]:
    value = fields.get(field, _EMPTY)
    if isinstance(value, int):
        raise MediaError(
            f"reading a message: field {field} holds a number, expected bytes; is it of another type?"
        )
    return value


def _text(fields: dict[int, _FieldValue], field: int) -> str:
    return _octets(fields, field).tobytes().decode(errors="replace")


def _stamp_ns(fields: dict[int, _FieldValue]) -> int:
    """Of google.protobuf.Timestamp in field 1."""
    parts = _fields(_octets(fields, 1))
    (seconds,) = struct.unpack("<q", struct.pack("<Q", _number(parts, 1) % 2**64))
    stamp_ns = int(seconds) * 1_000_000_000 + _number(parts, 2)
    if not -(2**63) <= stamp_ns < 2**63:
        raise MediaError(f"reading a message: its stamp of {seconds} s is no time")
    return stamp_ns
