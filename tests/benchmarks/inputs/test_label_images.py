from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tdnet_bench.inputs.label_images import LabelImages, class_pixels
from tdnet_runtime.errors import MediaError, OptionError


def test_a_label_image_is_found_by_its_frames_name(tmp_path: Path) -> None:
    truth = np.array([[0, 1], [255, 2]], dtype=np.uint8)
    assert cv2.imwrite(str(tmp_path / "frame_7.png"), truth)
    images = LabelImages(tmp_path)
    found = images.of("frame_7")
    assert found is not None
    np.testing.assert_array_equal(found, truth)
    assert images.of("frame_70") is None
    assert images.used == 1


def test_a_colour_image_is_no_label_image(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "a.png"), np.zeros((2, 2, 3), dtype=np.uint8))
    (tmp_path / "b.png").write_bytes(b"no image")
    images = LabelImages(tmp_path)
    with pytest.raises(MediaError, match=r"uint8 \[2, 2, 3\], expected 8-bit grey"):
        images.of("a")
    with pytest.raises(MediaError, match="no readable image"):
        images.of("b")


def test_a_folder_without_any_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="needs a folder of PNGs"):
        LabelImages(tmp_path)
    with pytest.raises(OptionError, match="--labels cannot be read: No such file"):
        LabelImages(tmp_path / "absent")


def test_counts_of_a_hand_computed_case() -> None:
    truth = np.array([[0, 0, 1], [1, 255, 3]], dtype=np.uint8)  # 255 and 3 are no class of three
    labels = np.array([[0, 1, 1], [1, 0, 0]], dtype=np.uint8)
    counts = class_pixels(labels, truth, classes=3)
    assert counts.truth == (2, 2, 0)
    assert counts.labelled == (1, 3, 0)
    assert counts.hits == (1, 2, 0)


def test_labels_are_brought_to_the_label_images_size_as_the_runtime_does() -> None:
    from tdnet_runtime.preprocess import Resizer

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, (7, 9), dtype=np.uint8)
    truth = rng.integers(0, 5, (20, 31), dtype=np.uint8)
    resizer = Resizer((7, 9))
    resizer.require((20, 31))
    expected = np.empty((20, 31), dtype=np.uint8)
    resizer.take(labels, expected)
    assert class_pixels(labels, truth, classes=5) == class_pixels(expected, truth, classes=5)
    assert sum(class_pixels(labels, truth, classes=5).truth) == 20 * 31
