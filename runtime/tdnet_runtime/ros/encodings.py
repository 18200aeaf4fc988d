"""Pixels as cameras' drivers send them, to RGB.

The names are those of sensor_msgs/image_encodings.hpp and of foxglove.RawImage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tdnet_runtime.errors import MediaError
from tdnet_runtime.extras import require
from tdnet_runtime.ros.messages import RawImage

__all__ = ["ENCODINGS", "rgb_from_raw"]


@dataclass(frozen=True, slots=True)
class _Samples:
    """Each pixel has its own samples.

    Attributes:
        sample_bytes: 1 or 2.
        channels: in a pixel.
        rgb: places of red, green and blue among them; None for grey and mosaics.
        bayer: the filter's colours, row by row; None without one.
    """

    sample_bytes: int
    channels: int
    rgb: tuple[int, int, int] | None = None
    bayer: str | None = None


_RGB, _BGR = (0, 1, 2), (2, 1, 0)
_SAMPLES: Mapping[str, _Samples] = {
    "rgb8": _Samples(1, 3, _RGB),
    "rgba8": _Samples(1, 4, _RGB),
    "bgr8": _Samples(1, 3, _BGR),
    "bgra8": _Samples(1, 4, _BGR),
    "8UC3": _Samples(1, 3, _BGR),  # OpenCV's order, and Foxglove's
    "mono8": _Samples(1, 1),
    "8UC1": _Samples(1, 1),
    "mono16": _Samples(2, 1),
    "rgb16": _Samples(2, 3, _RGB),
    "rgba16": _Samples(2, 4, _RGB),
    "bgr16": _Samples(2, 3, _BGR),
    "bgra16": _Samples(2, 4, _BGR),
    **{
        f"bayer_{colors}{bits}": _Samples(bits // 8, 1, bayer=colors)
        for colors in ("rggb", "bggr", "gbrg", "grbg")
        for bits in (8, 16)
    },
}
_PAIRED = {
    "yuv422": "UYVY",
    "uyvy": "UYVY",
    "yuv422_yuy2": "YUY2",
    "yuyv": "YUY2",
}  # two pixels share their colour
_PLANES = {"nv12": "NV12", "nv21": "NV21"}  # two by two pixels share it
ENCODINGS = (*_SAMPLES, *_PAIRED, *_PLANES, "nv24")
"""All that `rgb_from_raw` takes."""
_DEPTH = ("16UC1", "32FC1")


def rgb_from_raw(message: RawImage) -> npt.NDArray[np.uint8]:
    """The picture of `message`: uint8 [H, W, 3], RGB, C-contiguous, an array of its own.

    16 bits become 8 by dividing by 257, rounded. Alpha is left out. YUV is that of BT.601 with luma from 16 to 235, as
    OpenCV and so ROS take it.

    Raises:
        MediaError: another encoding, an empty picture, or one whose `step` and data do not hold it.
        MissingExtraError: OpenCV is not there for a mosaic or YUV.
    """
    name = message.encoding
    if min(message.height, message.width) < 1:
        raise MediaError(f"{_what(message)}: it has no pixels")
    if name in _SAMPLES:
        return _from_samples(message, _SAMPLES[name])
    if name in _PAIRED:
        _expect_even(message, width=True)
        rows = _rows(message, row_bytes=2 * message.width)
        pairs = np.ascontiguousarray(rows).reshape(message.height, message.width, 2)
        return _converted(pairs, f"COLOR_YUV2RGB_{_PAIRED[name]}")
    if name in _PLANES:
        _expect_even(message, width=True, height=True)
        rows = _rows(message, row_bytes=message.width, rows=message.height * 3 // 2)
        return _converted(np.ascontiguousarray(rows), f"COLOR_YUV2RGB_{_PLANES[name]}")
    if name == "nv24":
        return _from_nv24(message)
    hint = "a depth image has no colours to segment; name the camera's image topic" if name in _DEPTH else ""
    raise MediaError(
        f"{_what(message)}: {hint or 'this encoding is not read; it can be ' + ', '.join(ENCODINGS)}"
    )


def _from_samples(message: RawImage, form: _Samples) -> npt.NDArray[np.uint8]:
    pixel_bytes = form.channels * form.sample_bytes
    rows = _rows(message, row_bytes=message.width * pixel_bytes)
    if form.sample_bytes == 2:
        samples = rows.view(np.dtype(np.uint16).newbyteorder(">" if message.is_bigendian else "<"))
        rows = ((samples.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    if form.bayer is not None:
        if min(message.height, message.width) < 2:
            raise MediaError(f"{_what(message)}: a mosaic has at least 2x2 pixels")
        return _converted(np.ascontiguousarray(rows), f"COLOR_Bayer{form.bayer.upper()}2RGB")
    pixels = rows.reshape(message.height, message.width, form.channels)
    picture = np.empty((message.height, message.width, 3), dtype=np.uint8)
    if form.rgb == _RGB:
        picture[:] = pixels[..., :3]
    elif form.rgb is None:
        picture[:] = pixels
    else:
        for place, channel in enumerate(
            form.rgb
        ):  # three times as fast as reversing the last axis (NumPy 2.4)
            picture[..., place] = pixels[..., channel]
    return picture


def _from_nv24(message: RawImage) -> npt.NDArray[np.uint8]:
    """Each pixel has its own colour; OpenCV, which lacks it, is given each pixel twice as a pair that shares it."""
    height, width, step = message.height, message.width, message.step
    _rows(message, row_bytes=width, rows=3 * height)
    luma = message.data[: step * height].reshape(height, step)[:, :width]
    color = message.data[step * height : 3 * step * height].reshape(height, 2 * step)[:, : 2 * width]
    pairs = np.empty((height, width, 4), dtype=np.uint8)
    pairs[..., 0::2] = color.reshape(height, width, 2)
    pairs[..., 1::2] = luma[..., np.newaxis]
    doubled = _converted(pairs.reshape(height, 2 * width, 2), "COLOR_YUV2RGB_UYVY")
    return np.ascontiguousarray(doubled[:, ::2])


def _rows(message: RawImage, *, row_bytes: int, rows: int | None = None) -> npt.NDArray[np.uint8]:
    """uint8 [rows, row_bytes], a view: the rows without what is between them.

    Raises:
        MediaError: `step` is too short for a row, or the data for the rows.
    """
    rows = message.height if rows is None else rows
    if message.step < row_bytes:
        raise MediaError(f"{_what(message)}: its step is {message.step} bytes; a row needs {row_bytes}")
    if message.data.size < message.step * rows:
        raise MediaError(
            f"{_what(message)}: it has {message.data.size} bytes of pixels; {rows} rows of {message.step} need "
            f"{message.step * rows}"
        )
    return message.data[: message.step * rows].reshape(rows, message.step)[:, :row_bytes]


def _expect_even(message: RawImage, *, width: bool = False, height: bool = False) -> None:
    if (width and message.width % 2) or (height and message.height % 2):
        raise MediaError(
            f"{_what(message)}: pixels that share their colour come in pairs; expected even sides"
        )


def _converted(pixels: npt.NDArray[np.uint8], code: str) -> npt.NDArray[np.uint8]:
    cv2 = require("cv2", extra="cli")
    return np.asarray(cv2.cvtColor(pixels, getattr(cv2, code)), dtype=np.uint8)


def _what(message: RawImage) -> str:
    """For messages; the encoding is a stranger's text."""
    return f"an image of {message.height}x{message.width} in {message.encoding[:40]!r}"
