"""Pictures that came as files of JPEG, PNG or the like, to RGB."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.exif import jpeg_frame
from tdnet_runtime.media.image_file import decoded_image
from tdnet_runtime.ros.encodings import rgb_from_raw
from tdnet_runtime.ros.messages import CompressedImage, RawImage

__all__ = ["DecodedPicture", "rgb_from_compressed"]

_STARTS = {"JPEG": b"\xff\xd8", "PNG": b"\x89PNG\r\n\x1a\n", "WebP": b"RIFF"}
"""What ROS 2 and Foxglove send; OpenCV's other decoders are not given strangers' data."""
_MOST_SIDE = 8192
"""As of networks. A PNG of a few kB may unpack to gigabytes."""
_DEPTH = ("16uc1", "32fc1", "compresseddepth")
_MOSAIC = "bayer_"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecodedPicture:
    """What a file held.

    Attributes:
        rgb: uint8 [H, W, 3], RGB, C-contiguous, an array of its own, as stored; None where nothing could be decoded.
        damage: what is wrong with it, in words; None for a whole one.
    """

    rgb: npt.NDArray[np.uint8] | None
    damage: str | None


def rgb_from_compressed(message: CompressedImage) -> DecodedPicture:
    """Decode the picture of `message`, a JPEG, PNG or WebP: by what the file is, whatever `format` says.

    But for a grey file of which `format` says that it holds a mosaic, as image_transport sends those of `bayer_rggb8` and
    the like: it becomes RGB as `rgb_from_raw` makes it. Marks of orientation are not followed, as image_transport does
    not: labels lie on the camera's own pixels.

    Raises:
        MediaError: a depth image, a video's packets, a mosaic that is not read, or a picture of more than 8192 pixels in a
            side.
    """
    words = message.format[:60].lower()
    if any(depth in words.replace(" ", "") for depth in _DEPTH):
        raise MediaError(
            f"a compressed image of the format {message.format[:60]!r}: a depth image has no colours to segment; "
            "name the camera's image topic"
        )
    if message.data[:3].tobytes() == b"\0\0\1" or message.data[:4].tobytes() == b"\0\0\0\1":
        raise MediaError(
            f"a compressed image of the format {message.format[:60]!r} holds packets of a video (H.264 or H.265); "
            "send it as foxglove.CompressedVideo, or decode it before"
        )
    data = message.data.tobytes()
    sides = _stated_sides(data)
    if sides is None:
        return DecodedPicture(rgb=None, damage=f"not a {', '.join(_STARTS)}, or cut short")
    if max(sides) > _MOST_SIDE:
        raise MediaError(
            f"a compressed image of {sides[0]}x{sides[1]} pixels; expected at most {_MOST_SIDE} in a side"
        )
    file = decoded_image(data, name=f"a compressed image of the format {message.format[:60]!r}")
    if file.bgr is None:
        return DecodedPicture(rgb=None, damage=file.damage)
    bgr = file.bgr if file.bgr.dtype == np.uint8 else cv2.convertScaleAbs(file.bgr, alpha=1 / 257)
    if (mosaic := _mosaic_in(words)) and _is_grey(data):
        raw = RawImage.from_pixels(
            np.ascontiguousarray(bgr[..., 0], np.uint8), encoding=mosaic, stamp_ns=0, frame_id=""
        )
        return DecodedPicture(rgb=rgb_from_raw(raw), damage=file.damage)
    return DecodedPicture(rgb=np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8), damage=file.damage)


def _mosaic_in(words: str) -> str:
    """The 8-bit encoding of the mosaic that a file of this format is; empty where it is none.

    `<the raw image's encoding>; <codec> compressed <the file's encoding, or nothing where it is the same>`.
    """
    source, _, rest = words.partition(";")
    encoding = rest.partition("compressed")[2].strip() or source.strip()
    return f"{encoding.removesuffix('16').removesuffix('8')}8" if encoding.startswith(_MOSAIC) else ""


def _is_grey(data: bytes) -> bool:
    """A PNG or JPEG of one channel."""
    if data.startswith(_STARTS["PNG"]):
        return data[25:26] == b"\0"
    frame = jpeg_frame(data)
    return frame is not None and frame[3] == 1


def _stated_sides(data: bytes) -> tuple[int, int] | None:
    """(H, W) by the head of the file; None where it has no such head."""
    try:
        if data.startswith(_STARTS["PNG"]):
            width, height = struct.unpack_from(">II", data, 16)
            return height, width
        if (frame := jpeg_frame(data)) is not None:
            return frame[1], frame[2]
        if data.startswith(_STARTS["WebP"]) and data[8:12] == b"WEBP":
            return _sides_of_webp(data)
    except struct.error:
        pass
    return None


def _sides_of_webp(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        low_width, high_width, low_height, high_height = struct.unpack_from("<HBHB", data, 24)
        return (high_height << 16 | low_height) + 1, (high_width << 16 | low_width) + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return height & 0x3FFF, width & 0x3FFF
    return None
