"""Compressed images: what the file is counts, and what is no camera's picture is refused."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest

from tdnet_runtime.errors import MediaError
from tdnet_runtime.ros.compressed import rgb_from_compressed
from tdnet_runtime.ros.messages import CompressedImage


def picture():
    y, x = np.mgrid[:32, :48]
    return np.stack([60 + 4 * x, 200 - 5 * y, 90 + x + 2 * y], axis=-1).astype(np.uint8)


def message(data, form="jpeg"):
    return CompressedImage(stamp_ns=1, frame_id="", format=form, data=np.frombuffer(data, np.uint8))


def encoded(suffix, image):
    return cv2.imencode(suffix, image)[1].tobytes()


@pytest.mark.parametrize(
    "form", ["jpeg", "png", "rgb8; jpeg compressed bgr8", "bgr8; png compressed bgr8", ""]
)
@pytest.mark.parametrize(("suffix", "levels"), [(".png", 0), (".jpg", 12), (".webp", 12)])
def test_rgb_whatever_the_format_says(form, suffix, levels):
    given = rgb_from_compressed(message(encoded(suffix, picture()[..., ::-1]), form))
    assert given.damage is None
    assert np.abs(given.rgb.astype(int) - picture()).max() <= levels
    assert given.rgb.flags.c_contiguous


def test_grey_and_16_bits():
    grey = picture()[..., 0]
    assert np.array_equal(rgb_from_compressed(message(encoded(".png", grey))).rgb, np.dstack([grey] * 3))
    deep = grey.astype(np.uint16) * 257
    assert np.array_equal(
        rgb_from_compressed(message(encoded(".png", deep), "mono16; png")).rgb, np.dstack([grey] * 3)
    )


def test_other_files_are_not_decoded():
    for suffix in (".bmp", ".tiff", ".ppm"):
        given = rgb_from_compressed(message(encoded(suffix, picture())))
        assert given.rgb is None
        assert given.damage == "not a JPEG, PNG, WebP, or cut short"


def test_damage_is_told():
    data = encoded(".jpg", np.tile(picture(), (8, 8, 1)))
    assert rgb_from_compressed(message(data[:-60])).damage.endswith(
        "damaged or cut short"
    )  # OpenCV 5 gives nothing of it
    for rubbish in (b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"rubbish" * 9, data[:20]):
        given = rgb_from_compressed(message(rubbish))
        assert given.rgb is None
        assert given.damage


@pytest.mark.parametrize(
    ("data", "form", "words"),
    [
        (b"x", "16UC1; compressedDepth png", "a depth image has no colours"),
        (b"x", "32FC1; compressedDepth rvl", "a depth image has no colours"),
        (b"x", "16UC1; png compressed ", "a depth image has no colours"),
        (b"\0\0\0\1\x67abc", "h264", "format 'h264' holds packets of a video"),
        (b"\0\0\1\x67abc", "", "holds packets of a video"),
    ],
)
def test_what_is_no_picture_is_refused(data, form, words):
    with pytest.raises(MediaError, match=words):
        rgb_from_compressed(message(data, form))


def test_small_files_of_huge_pictures_are_not_unpacked():
    def chunk(kind, content):
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 30000, 20000, 8, 0, 0, 0, 0))
    with pytest.raises(MediaError, match="of 20000x30000 pixels; expected at most 8192 in a side"):
        rgb_from_compressed(message(png + chunk(b"IDAT", b"")))
    vast = b"RIFF\0\0\0\0WEBP"
    extended = vast + b"VP8X" + struct.pack("<IIHBHB", 10, 0, 16382, 0, 8999, 0)
    lossless = vast + b"VP8L" + struct.pack("<IBI", 5, 0x2F, 8999 << 14 | 16382)
    lossy = vast + b"VP8 " + struct.pack("<I", 10) + bytes(6) + struct.pack("<HH", 16383, 9000)
    for webp in (extended, lossless, lossy):
        with pytest.raises(MediaError, match="of 9000x16383 pixels"):
            rgb_from_compressed(message(webp))
    jpeg = encoded(".jpg", picture())
    place = jpeg.index(b"\xff\xc0")
    jpeg = jpeg[: place + 5] + struct.pack(">HH", 9000, 48) + jpeg[place + 9 :]
    with pytest.raises(MediaError, match="of 9000x48 pixels"):
        rgb_from_compressed(message(jpeg))
