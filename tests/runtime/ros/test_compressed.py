"""Compressed images: what the file is counts, and what is no camera's picture is refused."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest

from tdnet_runtime.errors import MediaError
from tdnet_runtime.ros.compressed import rgb_from_compressed
from tdnet_runtime.ros.encodings import rgb_from_raw
from tdnet_runtime.ros.messages import CompressedImage, RawImage


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


MOSAICS = {  # of a picture of 200, 100, 20
    "rggb": [[200, 100], [100, 20]],
    "bggr": [[20, 100], [100, 200]],
    "gbrg": [[100, 20], [200, 100]],
    "grbg": [[100, 200], [20, 100]],
}


@pytest.mark.parametrize("colors", MOSAICS)
@pytest.mark.parametrize(
    ("form", "suffix", "depth"),
    [
        ("bayer_{}8; png compressed ", ".png", 1),  # image_transport, where it is told to send PNG
        ("bayer_{}8; jpeg compressed ", ".jpg", 1),  # its older versions
        ("bayer_{0}8; jpeg compressed bayer_{0}8", ".jpg", 1),  # and newer ones
        ("bayer_{}16; png compressed ", ".png", 257),
        ("bayer_{0}16; png compressed bayer_{0}16", ".png", 257),
    ],
)
def test_a_mosaic_becomes_what_the_raw_one_does(colors, form, suffix, depth):
    mosaic = np.tile(np.array(MOSAICS[colors], np.uint8), (16, 24))
    data = encoded(suffix, mosaic if depth == 1 else mosaic.astype(np.uint16) * depth)
    given = rgb_from_compressed(message(data, form.format(colors)))
    raw = RawImage.from_pixels(mosaic, encoding=f"bayer_{colors}8", stamp_ns=0, frame_id="")
    assert given.damage is None
    assert np.abs(given.rgb.astype(int) - rgb_from_raw(raw)).max() <= (30 if suffix == ".jpg" else 0)
    assert np.abs(given.rgb[16, 24].astype(int) - (200, 100, 20)).max() <= 30


@pytest.mark.parametrize("form", ["bayer_rggb8; jpeg compressed mono8", "bayer_rggb8; png compressed mono8"])
def test_what_is_no_mosaic_any_more_stays(form):
    grey = picture()[..., 0]
    assert np.array_equal(
        rgb_from_compressed(message(encoded(".png", grey), form)).rgb, np.dstack([grey] * 3)
    )


@pytest.mark.parametrize(
    "form", ["bayer_rggb8; jpeg compressed bgr8", "bayer_rggb8; png compressed ", "bayer_rggb8"]
)
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_nor_are_colours_a_mosaic(form, suffix):
    given = rgb_from_compressed(message(encoded(suffix, picture()[..., ::-1]), form))
    assert np.abs(given.rgb.astype(int) - picture()).max() <= 12


def test_a_mosaic_that_nobody_knows_is_refused():
    data = encoded(".png", picture()[..., 0])
    with pytest.raises(MediaError, match="in 'bayer_xtrans8': this encoding is not read"):
        rgb_from_compressed(message(data, "bayer_xtrans8; png compressed "))


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
