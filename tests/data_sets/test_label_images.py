"""The one reader of label images, and of colour masks."""

import cv2
import numpy as np
import pytest
from tests.runtime.media import marks

from tdnet_data.label_images import read_color_mask, read_label_image
from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.orientation import Orientation

LABELS = (np.arange(12 * 7) % 16).astype(np.uint8).reshape(12, 7)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_grey_values_are_the_labels(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    assert cv2.imwrite(str(path), LABELS)
    np.testing.assert_array_equal(read_label_image(path), LABELS)


def test_16_bit_labels_below_256(tmp_path):
    path = tmp_path / "a.png"
    assert cv2.imwrite(str(path), LABELS.astype(np.uint16))
    found = read_label_image(path)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, LABELS)
    assert cv2.imwrite(str(path), LABELS.astype(np.uint16) + 250)
    with pytest.raises(MediaError, match=r"it is uint16 \[12, 7\], expected 8-bit grey.*a.png'"):
        read_label_image(path)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_palettes_indices_are_labels_and_its_colours_a_masks(tmp_path, bits):
    pil = pytest.importorskip("PIL.Image")
    labels = LABELS & ((1 << bits) - 1)
    image = pil.fromarray(labels)
    image.putpalette([value for index in range(1 << bits) for value in (index, 255 - index, 7)])
    image.save(tmp_path / "a.png", bits=bits)
    np.testing.assert_array_equal(read_label_image(tmp_path / "a.png"), labels)
    colors = np.stack([labels, 255 - labels, np.full_like(labels, 7)], axis=2)
    np.testing.assert_array_equal(read_color_mask(tmp_path / "a.png"), colors)


def test_marks_of_orientation_are_followed(tmp_path):
    turned = np.ascontiguousarray(Orientation.TURN_RIGHT.inverse.apply(LABELS))
    data = cv2.imencode(".png", turned)[1].tobytes()
    block = marks.png_chunk(b"eXIf", marks.exif(6))
    path = tmp_path / "a.png"
    path.write_bytes(data[:33] + block + data[33:])
    np.testing.assert_array_equal(read_label_image(path), LABELS)
    np.testing.assert_array_equal(read_color_mask(path), np.repeat(LABELS[..., None], 3, axis=2))


def test_masks_may_be_grey_or_transparent(tmp_path):
    colors = np.random.default_rng(0).integers(0, 256, (5, 6, 4), np.uint8)
    assert cv2.imwrite(str(tmp_path / "a.png"), colors)
    np.testing.assert_array_equal(read_color_mask(tmp_path / "a.png"), colors[..., 2::-1])


@pytest.mark.parametrize("content", [b"", b"no image", None])
@pytest.mark.parametrize("read", [read_label_image, read_color_mask])
def test_unreadable_ones_are_named(tmp_path, content, read):
    path = tmp_path / "a.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MediaError, match=r"no readable image.*a.png'|No such file or directory: '.*a.png'"):
        read(path)
