"""PNGs of labels: those that a run writes, marked as such, and the indices of those with a palette."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.exif import png_chunks

__all__ = ["encoded_png", "grey_from_palette_png", "is_marked_png"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER_BYTES = 33  # signature and the chunk IHDR
_BIT_DEPTH, _COLOR_TYPE = 24, 25  # their places in them
_GREY_TYPE, _PALETTE_TYPE = 0, 3


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
    rest = png[_HEADER_BYTES:]
    if palette is None:
        return png[:_HEADER_BYTES] + _MARK + rest
    typed = _with_color_type(png, _PALETTE_TYPE)  # grey values and indices are packed alike
    return typed[:_HEADER_BYTES] + _MARK + _chunk(b"PLTE", palette.tobytes()) + rest


def grey_from_palette_png(data: bytes) -> tuple[bytes, int]:
    """A PNG with a palette as a grey one, from which OpenCV decodes the indices, times a step.

    Args:
        data: a file's bytes.

    Returns:
        The grey PNG and the step: 1 but for fewer bits than 8, which decoders spread over 0 to 255. Anything
        else than a PNG with a palette comes back as it is.
    """
    if not data.startswith(_SIGNATURE) or data[_COLOR_TYPE : _COLOR_TYPE + 1] != bytes((_PALETTE_TYPE,)):
        return data, 1
    kept = [
        data[start - 8 : end + 4]
        for kind, start, end in png_chunks(data)
        if kind not in (b"PLTE", b"tRNS", b"bKGD", b"hIST", b"sBIT")
    ]
    return _with_color_type(_SIGNATURE + b"".join(kept), _GREY_TYPE), 255 // ((1 << data[_BIT_DEPTH]) - 1)


def _with_color_type(png: bytes, color_type: int) -> bytes:
    header = bytearray(png[:_HEADER_BYTES])
    header[_COLOR_TYPE] = color_type
    header[-4:] = struct.pack(">I", zlib.crc32(header[12:-4]))
    return bytes(header) + png[_HEADER_BYTES:]


def is_marked_png(path: Path) -> bool:
    """The file was written by `encoded_png` and not changed by another program.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return file.read(_HEADER_BYTES + len(_MARK))[_HEADER_BYTES:] == _MARK
