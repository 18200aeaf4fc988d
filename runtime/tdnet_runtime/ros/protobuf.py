"""Foxglove's messages in the form of Protocol Buffers, as foxglove-sdk writes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tdnet_runtime.errors import MediaError
from tdnet_runtime.protobuf_wire import BYTES, VARINT, fields, signed
from tdnet_runtime.ros.cdr import byte_view
from tdnet_runtime.ros.messages import CompressedImage, CompressedVideo, RawImage

__all__ = ["compressed_image_from_protobuf", "compressed_video_from_protobuf", "raw_image_from_protobuf"]

_EMPTY = np.empty(0, dtype=np.uint8)
_FieldValue = int | npt.NDArray[np.uint8]


def raw_image_from_protobuf(data: Any) -> RawImage:
    """Read a foxglove.RawImage; its pixels are a view of `data`.

    Raises:
        MediaError: it is none.
    """
    found = _fields(data)
    return RawImage(
        stamp_ns=_stamp_ns(found),
        frame_id=_text(found, 7),
        height=_number(found, 3),
        width=_number(found, 2),
        encoding=_text(found, 4),
        is_bigendian=False,
        step=_number(found, 5),
        data=_octets(found, 6),
    )


def compressed_image_from_protobuf(data: Any) -> CompressedImage:
    """Read a foxglove.CompressedImage; see `raw_image_from_protobuf`."""
    found = _fields(data)
    return CompressedImage(
        stamp_ns=_stamp_ns(found),
        frame_id=_text(found, 4),
        format=_text(found, 3),
        data=_octets(found, 2),
    )


def compressed_video_from_protobuf(data: Any) -> CompressedVideo:
    """Read a foxglove.CompressedVideo; see `raw_image_from_protobuf`."""
    found = _fields(data)
    return CompressedVideo(
        stamp_ns=_stamp_ns(found),
        frame_id=_text(found, 2),
        format=_text(found, 4),
        data=_octets(found, 3),
    )


def _fields(data: Any) -> dict[int, _FieldValue]:
    """The last value of each field by its number."""
    try:
        return {
            number: value if wire in (VARINT, BYTES) else int.from_bytes(value.tobytes(), "little")
            for number, wire, value in fields(byte_view(data))
        }
    except ValueError as error:
        raise MediaError(f"reading a message: {error}") from None


def _number(found: dict[int, _FieldValue], field: int) -> int:
    value = found.get(field, 0)
    if not isinstance(value, int):
        raise MediaError(
            f"reading a message: field {field} holds bytes, expected a number; is it of another type?"
        )
    return value


def _octets(found: dict[int, _FieldValue], field: int) -> npt.NDArray[np.uint8]:
    value = found.get(field, _EMPTY)
    if isinstance(value, int):
        raise MediaError(
            f"reading a message: field {field} holds a number, expected bytes; is it of another type?"
        )
    return value


def _text(found: dict[int, _FieldValue], field: int) -> str:
    return _octets(found, field).tobytes().decode(errors="replace")


def _stamp_ns(found: dict[int, _FieldValue]) -> int:
    """Of google.protobuf.Timestamp in field 1."""
    parts = _fields(_octets(found, 1))
    seconds = signed(_number(parts, 1))
    stamp_ns = seconds * 1_000_000_000 + _number(parts, 2)
    if not -(2**63) <= stamp_ns < 2**63:
        raise MediaError(f"reading a message: its stamp of {seconds} s is no time")
    return stamp_ns
