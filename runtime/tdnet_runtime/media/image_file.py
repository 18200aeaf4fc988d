"""One image file, decoded, with what is known of its damage and orientation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.exif import is_cut_jpeg, jpeg_frame, orientation_and_unmarked, png_chunks
from tdnet_runtime.media.frames import reason
from tdnet_runtime.media.native_stderr import held_stderr
from tdnet_runtime.media.orientation import Orientation

__all__ = ["DECODER_NOISE", "ImageFile", "damage_in", "decoded_image", "read_image"]

# Turned by us, by the same rules for all formats and versions of OpenCV.
_DECODE_FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
DECODER_NOISE = re.compile(
    r"Corrupt JPEG data|Premature end of JPEG|Invalid SOS parameters|Inconsistent progression|TIFF_Error"
)
"""Lines by which libjpeg and libtiff tell of damage on stderr, while OpenCV gives the picture all the same."""

_PNG = b"\x89PNG\r\n\x1a\n"
_MOST_CLAIMED_BYTES = 1 << 26
_HUFFMAN_FRAMES = (0xC0, 0xC1, 0xC2)
_MOST_PIXELS_A_BYTE = 1024  # four times those of a grey JPEG of one colour with the shortest codes
_MOST_CLAIMED_PIXELS = 1 << 24
_PADDING = re.compile(r"Corrupt JPEG data: ([0-9]+) extraneous bytes before marker 0xd9")
_PADDING_BYTES = 16  # USB cameras fill up before the end mark; the picture before it is whole


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFile:
    """What a file holds.

    Attributes:
        bgr: uint8 or uint16 [H, W, 3], as stored; None where nothing could be decoded.
        orientation: that makes it upright.
        damage: what is wrong with it, in words; None for a whole one.
    """

    bgr: npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | None
    orientation: Orientation
    damage: str | None


def read_image(path: Path) -> ImageFile:
    """Read and decode one image; grey and transparent ones become colour.

    Raises:
        MediaError: the file cannot be read, is a pipe or a device, or its samples are neither of 8 nor of 16 bits.
    """
    try:
        if not path.is_file() and path.exists() and not path.is_dir():  # a pipe would have us wait
            raise MediaError(f"reading an image: neither a file nor a folder: '{path}'")
        data = path.read_bytes()
    except OSError as error:
        raise MediaError(f"reading an image: {reason(error)}: '{path}'") from error
    return decoded_image(data, name=f"'{path}'")


def decoded_image(data: bytes, *, name: str) -> ImageFile:
    """Decode the content of an image file, as `read_image` does.

    Args:
        data: the whole file.
        name: of where it comes from, for messages.

    Raises:
        MediaError: its samples are neither of 8 nor of 16 bits.
    """
    if not data:
        return _damaged("the file is empty (0 bytes)")
    if (claimed := _most_claimed(data)) > len(data) + _MOST_CLAIMED_BYTES:
        return _damaged(f"damaged: a part of it claims {claimed} bytes, all of it has {len(data)}")
    if (stated := _most_pixels(data)) > len(data) * _MOST_PIXELS_A_BYTE + _MOST_CLAIMED_PIXELS:
        return _damaged(
            f"damaged or cut short: its head states {stated} pixels, all of it has {len(data)} bytes"
        )
    orientation, unmarked = orientation_and_unmarked(data)
    try:
        with held_stderr(DECODER_NOISE) as noise:
            bgr = cv2.imdecode(np.frombuffer(unmarked, dtype=np.uint8), _DECODE_FLAGS)
            if bgr is None:
                raise _UndecodableError  # with which the decoder's words are dropped
    except _UndecodableError:
        return _damaged("not an image, damaged or cut short")
    except cv2.error as error:  # e.g. more pixels than OpenCV takes
        return _damaged(error.err or "OpenCV refuses it")
    damage = "damaged or cut short: it has no end" if is_cut_jpeg(data) else damage_in(noise)
    if bgr.dtype == np.uint16:
        return ImageFile(bgr=np.asarray(bgr, dtype=np.uint16), orientation=orientation, damage=damage)
    if bgr.dtype != np.uint8:
        raise MediaError(
            f"reading an image: its samples are {bgr.dtype}; expected 8 or 16 bits without a sign, convert it: {name}"
        )
    return ImageFile(bgr=np.asarray(bgr, dtype=np.uint8), orientation=orientation, damage=damage)


def _most_claimed(data: bytes) -> int:
    """Bytes that the longest chunk of a PNG claims to have; 0 for other files.

    OpenCV (5.0.0) gets memory for what is claimed, 4 GiB at most, before it looks whether the file has that.
    """
    return max((end - start for _, start, end in png_chunks(data)), default=0) if data.startswith(_PNG) else 0


def _most_pixels(data: bytes) -> int:
    """Pixels by the head of a JPEG with Huffman codes; 0 for other files.

    libjpeg fills in what the file does not have, up to 268 million pixels.
    """
    frame = jpeg_frame(data)
    return frame[1] * frame[2] if frame is not None and frame[0] in _HUFFMAN_FRAMES else 0


def damage_in(noise: list[str]) -> str | None:
    """The first of the lines matched by `DECODER_NOISE` that tells of lost pixels, in words."""
    for line in noise:
        padding = _PADDING.search(line)
        if padding is None or int(padding[1]) > _PADDING_BYTES:
            return f"damaged: {line.strip()}"
    return None


class _UndecodableError(Exception):
    """OpenCV gave nothing."""


def _damaged(why: str) -> ImageFile:
    return ImageFile(bgr=None, orientation=Orientation.AS_STORED, damage=why)
