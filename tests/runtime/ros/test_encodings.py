"""Every encoding to RGB, against pictures made by PyAV or by hand; steps, byte orders, and what is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tdnet_runtime.errors import MediaError
from tdnet_runtime.ros.encodings import ENCODINGS, rgb_from_raw
from tdnet_runtime.ros.messages import RawImage

HEIGHT, WIDTH = 12, 20
PADDING = 7


def picture():
    """A smooth one, so that colour shared by neighbours stays within a few levels."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([60 + 4 * x, 200 - 5 * y, 90 + 3 * x + 2 * y], axis=-1).astype(np.uint8)


def message(rows, encoding, *, padding=PADDING, height=HEIGHT, width=WIDTH, big=False):
    """Of uint8 [rows, bytes]; between the rows lie bytes that no picture should show."""
    filled = np.full((rows.shape[0], rows.shape[1] + padding), 0xEE, dtype=np.uint8)
    filled[:, : rows.shape[1]] = rows
    return RawImage(
        stamp_ns=1,
        frame_id="",
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=big,
        step=filled.shape[1],
        data=filled.reshape(-1),
    )


def planes_of(pix_fmt):
    """PyAV's form of the picture: each plane as uint8 [rows, bytes]."""
    av = pytest.importorskip("av")
    frame = av.VideoFrame.from_ndarray(picture(), format="rgb24").reformat(
        format=pix_fmt, interpolation="BICUBIC"
    )
    planes = []
    for plane in frame.planes:
        row_bytes = plane.width * {"yuyv422": 2, "uyvy422": 2}.get(pix_fmt, 1 + (len(planes) > 0))
        rows = np.frombuffer(plane, dtype=np.uint8).reshape(plane.height, plane.line_size)
        planes.append(rows[:, :row_bytes])
    return planes


ORDERS = {"rgb": [0, 1, 2], "bgr": [2, 1, 0]}


@pytest.mark.parametrize("padding", [0, PADDING])
@pytest.mark.parametrize(
    ("encoding", "order", "alpha"),
    [
        ("rgb8", "rgb", False),
        ("bgr8", "bgr", False),
        ("8UC3", "bgr", False),
        ("rgba8", "rgb", True),
        ("bgra8", "bgr", True),
    ],
)
def test_interleaved_colors(encoding, order, alpha, padding):
    pixels = picture()[..., ORDERS[order]]
    if alpha:
        pixels = np.dstack([pixels, np.full((HEIGHT, WIDTH, 1), 9, np.uint8)])
    source = message(pixels.reshape(HEIGHT, -1), encoding, padding=padding)
    given = rgb_from_raw(source)
    assert np.array_equal(given, picture())
    assert given.flags.c_contiguous
    assert given.dtype == np.uint8
    assert not np.shares_memory(given, source.data)


@pytest.mark.parametrize("encoding", ["mono8", "8UC1"])
def test_grey(encoding):
    grey = picture()[..., 0]
    assert np.array_equal(rgb_from_raw(message(grey, encoding)), np.dstack([grey] * 3))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("encoding", ["mono16", "rgb16", "bgr16", "rgba16", "bgra16"])
def test_samples_of_16_bits_in_both_orders(encoding, padding, big):
    """To the nearest of 256 levels; an odd step leaves samples at odd places."""
    channels = {"mono16": 1, "rgb16": 3, "bgr16": 3}.get(encoding, 4)
    deep = (
        np.random.default_rng(0).integers(0, 65536, (HEIGHT, WIDTH, channels)).astype(">u2" if big else "<u2")
    )
    deep[0, :3, 0] = (0, 65535, 128)  # 128 / 257 is just below a half
    rows = deep.reshape(HEIGHT, -1).view(np.uint8)
    given = rgb_from_raw(message(rows, encoding, padding=padding, big=big))
    expected = np.rint(deep.astype(float) / 257)
    color = expected[..., [0, 0, 0]] if channels == 1 else expected[..., ORDERS[encoding[:3]]]
    assert np.array_equal(given, color)
    assert given[0, :3].tolist()[0][0] == (0 if encoding[0] in "mr" else given[0, 0, 0])


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_mosaics(pattern, bits):
    """A plain colour comes out as itself, red not swapped with blue."""
    red_green_blue = {"r": 200, "g": 120, "b": 30}
    tile = np.array([red_green_blue[color] for color in pattern], np.uint8).reshape(2, 2)
    rows = np.tile(tile, (HEIGHT // 2, WIDTH // 2))
    if bits == 16:
        rows = (rows.astype("<u2") * 257).view(np.uint8)
    given = rgb_from_raw(message(rows, f"bayer_{pattern}{bits}"))
    assert given[2:-2, 2:-2].reshape(-1, 3).tolist() == [[200, 120, 30]] * ((HEIGHT - 4) * (WIDTH - 4))


@pytest.mark.parametrize("padding", [0, PADDING])
@pytest.mark.parametrize(
    ("encoding", "pix_fmt"),
    [
        ("yuv422", "uyvy422"),
        ("uyvy", "uyvy422"),
        ("yuv422_yuy2", "yuyv422"),
        ("yuyv", "yuyv422"),
        ("nv12", "nv12"),
        ("nv21", "nv21"),
        ("nv24", "nv24"),
    ],
)
def test_yuv(encoding, pix_fmt, padding):
    """Six levels: colours are rounded to YUV's steps, and shared by neighbours that differ by up to five."""
    planes = planes_of(pix_fmt)
    if encoding == "nv24":  # a row of colour is two steps long
        luma = message(planes[0], encoding, padding=padding)
        color = np.full((HEIGHT, 2 * luma.step), 0xEE, np.uint8)
        color[:, : 2 * WIDTH] = planes[1]
        source = dataclasses.replace(luma, data=np.concatenate([luma.data, color.reshape(-1)]))
    else:
        source = message(np.concatenate(planes), encoding, padding=padding)
    given = rgb_from_raw(source)
    assert given.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(given.astype(int) - picture()).max() <= 6


def test_every_encoding_is_in_a_test():
    tested = {
        "rgb8",
        "bgr8",
        "8UC3",
        "rgba8",
        "bgra8",
        "mono8",
        "8UC1",
        "mono16",
        "rgb16",
        "bgr16",
        "rgba16",
        "bgra16",
    }
    tested |= {f"bayer_{p}{b}" for p in ("rggb", "bggr", "gbrg", "grbg") for b in (8, 16)}
    tested |= {"yuv422", "uyvy", "yuv422_yuy2", "yuyv", "nv12", "nv21", "nv24"}
    assert set(ENCODINGS) == tested


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("16UC1", "in '16UC1': a depth image has no colours to segment"),
        ("32FC1", "in '32FC1': a depth image has no colours"),
        ("RGB8", "in 'RGB8': this encoding is not read; it can be rgb8, "),
        ("", "in '': this encoding is not read"),
        ("x" * 500 + "\n", "in 'x{40}': this encoding is not read"),
    ],
)
def test_other_encodings_are_refused_by_name(encoding, words):
    with pytest.raises(MediaError, match=words):
        rgb_from_raw(message(picture().reshape(HEIGHT, -1), encoding))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_pictures_that_their_data_do_not_hold(encoding):
    """One byte less than needed, a step that is too short, no pixels."""
    pixel_bytes = 8  # more than any encoding needs, so that only what is tested is wrong
    whole = message(np.zeros((3 * HEIGHT, pixel_bytes * WIDTH), np.uint8), encoding, padding=0)
    assert rgb_from_raw(whole).shape == (HEIGHT, WIDTH, 3)
    rows = {"nv12": HEIGHT * 3 // 2, "nv21": HEIGHT * 3 // 2, "nv24": 3 * HEIGHT}.get(encoding, HEIGHT)
    needed = whole.step * rows
    rgb_from_raw(dataclasses.replace(whole, data=whole.data[:needed]))
    with pytest.raises(
        MediaError, match=f"it has {needed - 1} bytes of pixels; {rows} rows of 160 need {needed}"
    ):
        rgb_from_raw(dataclasses.replace(whole, data=whole.data[: needed - 1]))
    with pytest.raises(MediaError, match=f"its step is {WIDTH - 1} bytes; a row needs "):
        rgb_from_raw(dataclasses.replace(whole, step=WIDTH - 1))
    for height, width in ((0, WIDTH), (HEIGHT, 0)):
        with pytest.raises(MediaError, match="it has no pixels"):
            rgb_from_raw(dataclasses.replace(whole, height=height, width=width))
    with pytest.raises(MediaError, match=r"its step is|bytes of pixels"):
        rgb_from_raw(dataclasses.replace(whole, height=2**32 - 2, width=2**32 - 2))


@pytest.mark.parametrize(("encoding", "height", "width"), [("yuyv", 4, 5), ("nv12", 4, 5), ("nv21", 5, 4)])
def test_odd_sides_where_pixels_share_their_color(encoding, height, width):
    with pytest.raises(MediaError, match="expected even sides"):
        rgb_from_raw(message(np.zeros((20, 40), np.uint8), encoding, height=height, width=width))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_smallest_pictures(encoding):
    """One pixel, or the two by two that share something."""
    side = 1 if encoding[:3] in ("rgb", "bgr", "mon", "8UC") or encoding == "nv24" else 2
    given = rgb_from_raw(message(np.zeros((6, 16), np.uint8), encoding, height=side, width=side))
    assert given.shape == (side, side, 3)
