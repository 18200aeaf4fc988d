"""The framing of Rerun's files, as far as it takes to write one piece by piece."""

from __future__ import annotations

import struct

__all__ = ["rrd_messages"]

_MAGIC = b"RRF2"
_HEAD_BYTES = 12
_MESSAGE = struct.Struct("<QQ")  # kind, length
_END = 0


def rrd_messages(data: bytes, *, with_head: bool) -> bytes:
    """What `BinaryStream.read` gives, without the end and index that it puts behind each piece (rerun-sdk 0.41).

    With them a file of several pieces is one that Rerun's own program finds damaged.

    Args:
        data: of one or more whole reads.
        with_head: keep what a file begins with.

    Raises:
        ValueError: `data` is framed in another way.
    """
    if not data.startswith(_MAGIC):
        raise ValueError(f"it begins with {data[:4]!r}")
    at = _HEAD_BYTES
    while at + _MESSAGE.size <= len(data):
        kind, length = _MESSAGE.unpack_from(data, at)
        if kind == _END:
            break
        at += _MESSAGE.size + length
    if at > len(data):
        raise ValueError("its messages are longer than it is")
    return data[0 if with_head else _HEAD_BYTES : at]
