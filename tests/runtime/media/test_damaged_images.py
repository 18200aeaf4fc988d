"""Damaged images are left out, fatal or used as asked, and counted, whichever version of OpenCV decodes them."""

import struct

import cv2
import numpy as np
import pytest
from tests.runtime.media import marks

from tdnet_runtime.errors import MediaError
from tdnet_runtime.media import image_file
from tdnet_runtime.media.damage import OnDamage
from tdnet_runtime.media.image_file import damage_in, read_image
from tdnet_runtime.media.images import ImageFolderSource
from tdnet_runtime.media.orientation import Orientation

SCAN_END = b"\xff\xd9"
MARK = marks.png_chunk(b"eXIf", marks.exif(6))


def data_of(suffix, image):
    return marks.encoded(suffix, image)


def corrupt_jpeg(image):
    """An end mark in the middle of the pixels: libjpeg fills up with grey and says so on stderr alone."""
    data = data_of(".jpg", image)
    return data[: len(data) * 3 // 4] + SCAN_END + data[len(data) * 3 // 4 + 2 :]


DAMAGES = {
    "cut.jpg": lambda image: data_of(".jpg", image)[:-200],
    "without an end.jpg": lambda image: data_of(".jpg", image)[:-2],
    "cut after a thumbnail.jpg": lambda image: marks.jpeg(
        image, b"", after=marks.segment(0xE1, b"Exif\0\0" + SCAN_END)
    )[:-200],
    "corrupt.jpg": corrupt_jpeg,
    "cut.png": lambda image: data_of(".png", image)[:-20],
    "flipped.png": lambda image: data_of(".png", image)[:-30] + b"\xaa" + data_of(".png", image)[-29:],
    "cut.tif": lambda image: data_of(".tif", image)[:-300],
    "cut.bmp": lambda image: data_of(".bmp", image)[:-300],
    "cut.webp": lambda image: data_of(".webp", image)[:-40],
    "empty.png": lambda image: b"",
    "text.jpg": lambda image: b"hello\n",
}


@pytest.fixture
def folder(tmp_path, draw):
    """folder(name): four images, the third of which is damaged."""

    def make(name):
        suffix = name.rpartition(".")[2]
        images = [draw(index, height=120, width=160) for index in range(4)]
        for index, image in enumerate(images):
            whole = data_of(f".{suffix}", image)
            (tmp_path / f"{index}.{suffix}").write_bytes(DAMAGES[name](image) if index == 2 else whole)
        return tmp_path

    return make


@pytest.mark.parametrize("name", DAMAGES)
def test_left_out_and_counted(folder, capfd, name):
    with ImageFolderSource(folder(name)) as source:
        frames = list(source)
    assert [frame.name for frame in frames] == ["0", "1", "3"]
    assert [frame.stamp_ns for frame in frames] == [0, 40_000_000, 120_000_000]  # the gap shows
    assert (source.damage.skipped, source.damage.used) == (1, 0)
    assert len(source.damage.examples) == 1
    assert source.damage.examples[0].startswith("reading an image: ")
    assert f"2.{name.rpartition('.')[2]}'" in source.damage.examples[0]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", DAMAGES)
def test_fatal_where_asked(folder, name):
    frames = []
    with (
        ImageFolderSource(folder(name), on_damage=OnDamage.FAIL) as source,
        pytest.raises(MediaError, match=r"reading an image: .*2\.\w+'$"),
    ):
        frames.extend(source)
    assert [frame.name for frame in frames] == ["0", "1"]


def test_used_where_asked_and_possible(folder):
    folder("corrupt.jpg")
    with ImageFolderSource(folder("corrupt.jpg"), on_damage=OnDamage.USE) as source:
        frames = list(source)
    assert [frame.name for frame in frames] == ["0", "1", "2", "3"]
    assert (source.damage.skipped, source.damage.used) == (0, 1)


def test_left_out_where_there_is_nothing_to_use(folder):
    with ImageFolderSource(folder("text.jpg"), on_damage=OnDamage.USE) as source:
        assert len(list(source)) == 3
    assert (source.damage.skipped, source.damage.used) == (1, 0)


def test_the_first_images_may_be_damaged(tmp_path, draw):
    (tmp_path / "0.png").write_bytes(b"")
    (tmp_path / "1.jpg").write_bytes(b"hello")
    (tmp_path / "2.png").write_bytes(data_of(".png", draw(0)))
    with ImageFolderSource(tmp_path) as source:
        assert source.size_hw == (36, 52)
        assert [frame.name for frame in source] == ["2"]
    assert source.damage.skipped == 2  # each once
    with pytest.raises(MediaError, match=r"the file is empty \(0 bytes\): '.*0\.png'"):
        ImageFolderSource(tmp_path, on_damage=OnDamage.FAIL)


def test_nothing_but_damaged_images(tmp_path):
    for index in range(3):
        (tmp_path / f"{index}.png").write_bytes(b"hello")
    with pytest.raises(MediaError, match=r"not an image, damaged or cut short: '.*0\.png'"):
        ImageFolderSource(tmp_path)


def test_the_account_keeps_a_few_examples(tmp_path, draw):
    (tmp_path / "a.png").write_bytes(data_of(".png", draw(0)))
    for index in range(50):
        (tmp_path / f"b{index}.png").write_bytes(b"hello")
    with ImageFolderSource(tmp_path) as source:
        assert len(list(source)) == 1
    assert source.damage.skipped == 50
    assert len(source.damage.examples) == 8


def test_a_picture_with_too_many_pixels_is_damage_too(tmp_path, draw):
    data = data_of(".png", draw(0))
    header = struct.pack(">II", 100_000, 100_000) + data[24:29]
    (tmp_path / "0.png").write_bytes(data[:8] + marks.png_chunk(b"IHDR", header) + data[33:])
    file = read_image(tmp_path / "0.png")
    assert (file.bgr, bool(file.damage)) == (None, True)


@pytest.mark.parametrize("progressive", [0, 1])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_that_states_more_pixels_than_it_can_hold(tmp_path, monkeypatch, progressive, channels):
    """Which libjpeg would fill in; the densest that there is, of one colour, is read."""
    monkeypatch.setattr(image_file, "_MOST_CLAIMED_PIXELS", 0)
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    data = marks.encoded(".jpg", np.full((2000, 1500, channels), 128, np.uint8), *options)
    (tmp_path / "0.jpg").write_bytes(data)
    file = read_image(tmp_path / "0.jpg")
    assert (file.damage, file.bgr.shape) == (None, (2000, 1500, 3))
    sides = struct.pack(">HH", 2000, 1500)
    (tmp_path / "1.jpg").write_bytes(data.replace(sides, struct.pack(">HH", 12000, 12000), 1))
    file = read_image(tmp_path / "1.jpg")
    words = f"damaged or cut short: its head states 144000000 pixels, all of it has {len(data)} bytes"
    assert (file.bgr, file.damage) == (None, words)


def test_whole_pictures_that_look_odd(tmp_path, draw, capfd):
    """Bytes after the end (phones append films), filling before it (USB cameras), a second picture in it."""
    data = data_of(".jpg", draw(0))
    for index, odd in enumerate((data + b"\0" * 500, data[:-2] + b"\0" * 3 + SCAN_END, data + data)):
        path = tmp_path / f"{index}.jpg"
        path.write_bytes(odd)
        file = read_image(path)
        assert file.damage is None
        assert np.abs(file.bgr[..., ::-1].astype(int) - draw(0)).mean() < 6
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "behind",
    [b"\xff" * 64, b'{"exposure": 12}', bytes(500), MARK, b"PK\3\4zip"],
    ids=["padding", "words", "zeros", "mark", "zip"],
)
def test_a_whole_png_with_something_behind_it(tmp_path, draw, behind):
    """As loggers append; nothing of that is the picture's."""
    (tmp_path / "a.png").write_bytes(data_of(".png", draw(0)) + behind)
    file = read_image(tmp_path / "a.png")
    assert (file.damage, file.orientation) == (None, Orientation.AS_STORED)
    np.testing.assert_array_equal(file.bgr[..., ::-1], draw(0))


@pytest.mark.parametrize(
    ("line", "damaged"),
    [
        ("Corrupt JPEG data: 1 extraneous bytes before marker 0xd9", False),
        ("Corrupt JPEG data: 700 extraneous bytes before marker 0xd9", True),
        ("Corrupt JPEG data: 1 extraneous bytes before marker 0xd2", True),
        ("Corrupt JPEG data: bad Huffman code", True),
        ("[ERROR:0@0.09] global grfmt_tiff.cpp:117 TIFF_Error LZWDecode: Not enough data", True),
    ],
)
def test_what_the_decoders_say(line, damaged):
    assert image_file.DECODER_NOISE.search(line)
    assert (damage_in([line]) is not None) == damaged
