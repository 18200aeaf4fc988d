"""The PNGs that a run writes: marked as such, with the classes' colours as a palette where asked."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from tdnet_runtime.errors import MediaError

__all__ = ["encoded_png", "is_marked_png"]

_HEADER_BYTES = 33  # signature and the chunk IHDR
_COLOR_TYPE = 25  # its place in them
_PALETTE_TYPE = 3


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


_MARK = _chunk(b"tEXt", b"Software\0tdnet-run")


def encoded_png(image: npt.NDArray[np.uint8], *, palette: npt.NDArray[np.uint8] | None = None) -> bytes:
    """A PNG with the mark by which `is_marked_png` knows it; the same bytes for the same pixels.

    Args:
        image: uint8 [H, W], or [H, W, 3] in BGR.
        palette: uint8 [256, 3], RGB, for an image of one channel, whose values stay its indices.

    Raises:
        MediaError: OpenCV cannot encode it.
    """
    ok, data = cv2.imencode(".png", image)
    if not ok:
        raise MediaError(f"writing a PNG: OpenCV could not encode {list(image.shape)}")
    png = data.tobytes()
    header, rest = bytearray(png[:_HEADER_BYTES]), png[_HEADER_BYTES:]
    if palette is None:
        return bytes(header) + _MARK + rest
    header[_COLOR_TYPE] = _PALETTE_TYPE  # 8-bit grey and 8-bit indices are packed alike
    header[-4:] = struct.pack(">I", zlib.crc32(header[12:-4]))
    return bytes(header) + _MARK + _chunk(b"PLTE", palette.tobytes()) + rest


def is_marked_png(path: Path) -> bool:
    """The file was written by `encoded_png` and not changed by another program.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return file.read(_HEADER_BYTES + len(_MARK))[_HEADER_BYTES:] == _MARK
