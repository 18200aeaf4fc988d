"""Pictures stored in all eight ways come upright, whichever version of OpenCV reads them."""

import struct

import numpy as np
import pytest
from tests.runtime.media import marks

from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.exif import orientation_and_unmarked
from tdnet_runtime.media.image_file import read_image
from tdnet_runtime.media.images import ImageFolderSource
from tdnet_runtime.media.orientation import Orientation

MARKED = {
    "jpg": lambda image, number: marks.jpeg(image, marks.exif(number)),
    "big-endian.jpg": lambda image, number: marks.jpeg(image, marks.exif(number, order=">")),
    "late.jpg": lambda image, number: marks.jpeg(
        image,
        marks.exif(number),
        after=marks.segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>")
        + marks.segment(0xFE, b"\xff\xd9")
        + b"\xff",
    ),
    "long.jpg": lambda image, number: marks.jpeg(image, marks.exif(number, order=">", kind=4)),
    "byte.jpg": lambda image, number: marks.jpeg(image, marks.exif(number, kind=1)),
    "png": lambda image, number: marks.png(image, marks.exif(number, order=">")),
    "last.png": lambda image, number: marks.png(image, marks.exif(number), last=True),
    "webp": lambda image, number: marks.webp(image, marks.exif(number)),
    "prefixed.webp": lambda image, number: marks.webp(image, b"Exif\0\0" + marks.exif(number)),
    "tif": marks.tiff,
    "big-endian.tif": lambda image, number: marks.tiff(image, number, order=">"),
    "big.tif": lambda image, number: marks.tiff(image, number, big=True),
    "16-bit.tif": lambda image, number: marks.tiff(image.astype(np.uint16) * 257, number),
}


@pytest.mark.parametrize("form", MARKED)
@pytest.mark.parametrize("number", range(1, 9))
def test_every_mark_in_every_format(tmp_path, draw, form, number):
    orientation, upright = Orientation(number), draw(3)
    path = tmp_path / f"a.{form}"
    path.write_bytes(MARKED[form](marks.stored(orientation, upright), number))
    with ImageFolderSource(tmp_path) as source:
        assert source.size_hw == (36, 52)
        (frame,) = source
    assert frame.orientation is orientation
    tolerance = 40 if form.endswith("jpg") else 0
    assert np.abs(frame.image.astype(int) - upright).max() <= tolerance
    assert frame.image.flags.c_contiguous
    assert source.facts["orientation"] == orientation.words


WITHOUT = {
    "none": b"",
    "0": marks.exif(0),
    "9": marks.exif(9),
    "65535": marks.exif(65535, kind=4),
    "no TIFF": b"hello",
    "cut": marks.exif(6)[:24],
    "another tag alone": marks.exif(6)[:10],
    "far away": b"II*\0" + struct.pack("<I", 2**31),
}


@pytest.mark.parametrize("block", WITHOUT.values(), ids=WITHOUT.keys())
@pytest.mark.parametrize("write", [marks.jpeg, marks.png, marks.webp], ids=["jpg", "png", "webp"])
def test_without_a_valid_mark_a_picture_is_taken_as_stored(write, block, draw):
    data = write(draw(0), block)
    assert orientation_and_unmarked(data) == (Orientation.AS_STORED, data)


@pytest.mark.parametrize("number", [0, 9, 65535])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_whose_mark_means_nothing_is_whole(tmp_path, draw, order, number):
    """libtiff complains of such a mark, which is no damage."""
    path = tmp_path / "a.tif"
    path.write_bytes(marks.tiff(draw(0), number, order=order))
    file = read_image(path)
    assert (file.orientation, file.damage) == (Orientation.AS_STORED, None)
    assert np.array_equal(file.bgr[..., ::-1], draw(0))


def test_a_mark_of_a_thumbnail_or_a_second_page_does_not_count(draw):
    block = marks.exif(1)
    second = (
        block[:4] + struct.pack("<I", 8) + block[8:-4] + struct.pack("<I", len(block)) + marks.exif(6)[8:]
    )
    assert orientation_and_unmarked(marks.jpeg(draw(0), second))[0] is Orientation.AS_STORED


@pytest.mark.parametrize("form", MARKED)
def test_a_file_cut_anywhere_has_a_mark_or_none(draw, form):
    data = MARKED[form](marks.stored(Orientation(6), draw(0)), 6)
    for end in (*range(60), *range(60, len(data), 97)):
        assert orientation_and_unmarked(data[:end])[0] in (Orientation.AS_STORED, Orientation.TURN_RIGHT)


def test_mixed_marks_are_turned_each(tmp_path, draw):
    for index, number in enumerate((1, 6, 3, 8)):
        orientation = Orientation(number)
        data = marks.png(marks.stored(orientation, draw(index)), marks.exif(number))
        (tmp_path / f"{index}.png").write_bytes(data)
    with ImageFolderSource(tmp_path) as source:
        frames = list(source)
    assert all(np.array_equal(frame.image, draw(index)) for index, frame in enumerate(frames))
    assert [frame.orientation for frame in frames] == [1, 6, 3, 8]
    assert source.facts["orientation"] == "mixed"


def test_sizes_that_differ_when_upright(tmp_path, draw):
    (tmp_path / "0.png").write_bytes(marks.png(draw(0), marks.exif(1)))
    (tmp_path / "1.png").write_bytes(marks.png(draw(0), marks.exif(6)))
    with (
        ImageFolderSource(tmp_path) as source,
        pytest.raises(
            MediaError, match=r"the next is 52x36, the first was 36x52 \(height x width, upright\)"
        ),
    ):
        list(source)


def test_the_file_is_read_as_it_is_stored(tmp_path, draw):
    path = tmp_path / "a.tif"
    path.write_bytes(marks.tiff(draw(0), 6))
    file = read_image(path)
    assert (file.orientation, file.damage) == (Orientation.TURN_RIGHT, None)
    assert np.array_equal(file.bgr[..., ::-1], draw(0))


def straight(data, order):
    """The extra sample's mark set from unspecified to unassociated alpha."""
    big = data[2:4] in (b"+\0", b"\0+")
    entry = struct.pack(order + "HH" + ("Q" if big else "I"), 338, 3, 1)
    place = data.index(entry) + len(entry)
    return data[:place] + struct.pack(order + "H", 2) + data[place + 2 :]


@pytest.mark.parametrize("big", [False, True], ids=["classic", "big"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("number", [1, 6])
@pytest.mark.parametrize("depth", [1, 257])
def test_colours_of_a_tiff_are_not_darkened_by_their_alpha(tmp_path, draw, order, big, number, depth):
    """As they are not in a PNG."""
    color = draw(0)
    alpha = np.linspace(0, 255, color[..., :1].size).reshape(color[..., :1].shape)
    pixels = np.dstack([color, alpha]).astype(np.uint8 if depth == 1 else np.uint16) * depth
    path = tmp_path / "a.tif"
    path.write_bytes(straight(marks.tiff(pixels, number, order=order, big=big), order))
    file = read_image(path)
    assert (file.orientation, file.damage) == (Orientation(number), None)
    np.testing.assert_array_equal(file.bgr[..., ::-1], color.astype(file.bgr.dtype) * depth)
