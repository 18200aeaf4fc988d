from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.runtime.media import marks

from tdnet_bench.inputs.footage import FootageFrame
from tdnet_bench.inputs.label_images import LabelImages
from tdnet_runtime.errors import MediaError, OptionError
from tdnet_runtime.media.orientation import Orientation
from tdnet_runtime.media.png import encoded_png


def _frame(name: str, *, stored_hw: tuple[int, int] | None = None) -> FootageFrame:
    return FootageFrame(np.zeros((1, 1, 3), dtype=np.uint8), name, 0, stored_hw)


def test_a_label_image_is_found_by_its_frames_name(tmp_path: Path) -> None:
    truth = np.array([[0, 1], [255, 2]], dtype=np.uint8)
    assert cv2.imwrite(str(tmp_path / "frame_7.png"), truth)
    images = LabelImages(tmp_path)
    found = images.of(_frame("frame_7"))
    assert found is not None
    np.testing.assert_array_equal(found, truth)
    assert images.of(_frame("frame_70")) is None
    assert images.used == 1


def test_a_colour_image_is_no_label_image(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "a.png"), np.zeros((2, 2, 3), dtype=np.uint8))
    (tmp_path / "b.png").write_bytes(b"no image")
    images = LabelImages(tmp_path)
    with pytest.raises(MediaError, match=r"uint8 \[2, 2, 3\], expected 8-bit grey"):
        images.of(_frame("a"))
    with pytest.raises(MediaError, match="no readable image"):
        images.of(_frame("b"))


def test_a_folder_without_any_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="needs a folder of PNGs"):
        LabelImages(tmp_path)
    with pytest.raises(OptionError, match="--labels cannot be read: looking for label images: No such file"):
        LabelImages(tmp_path / "absent")


def test_sequences_have_folders_of_label_images_or_share_one(tmp_path: Path) -> None:
    (tmp_path / "drive1").mkdir()
    for name, value in (("drive1/7", 1), ("7", 2), ("8", 3)):
        assert cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((2, 2), value, dtype=np.uint8))
    images = LabelImages(tmp_path)
    values = {name: images.of(_frame(name)) for name in ("drive1/7", "drive2/7", "drive2/8", "drive2/9")}
    assert {name: None if image is None else int(image[0, 0]) for name, image in values.items()} == {
        "drive1/7": 1, "drive2/7": 2, "drive2/8": 3, "drive2/9": None,
    }  # fmt: skip
    assert images.used == 3
    with pytest.raises(MediaError, match="frames 'drive2/8' and 'drive3/8' would share a label image"):
        images.of(_frame("drive3/8"))


@pytest.mark.parametrize("colors", [2, 4, 16, 256])
def test_the_indices_of_a_palette_count(tmp_path: Path, colors: int) -> None:
    """PIL packs few colours into 1, 2 or 4 bits."""
    pil = pytest.importorskip("PIL.Image")
    truth = (np.arange(21 * 13) % colors).astype(np.uint8).reshape(21, 13)
    image = pil.fromarray(truth)
    image.putpalette([value for index in range(colors) for value in (index, 255 - index, 7)])
    image.save(tmp_path / "a.png", transparency=0)
    found = LabelImages(tmp_path).of(_frame("a"))
    assert found is not None
    np.testing.assert_array_equal(found, truth)


def test_what_tdnet_run_writes_with_a_palette(tmp_path: Path) -> None:
    truth = np.arange(12, dtype=np.uint8).reshape(3, 4)
    (tmp_path / "a.png").write_bytes(encoded_png(truth, palette=np.zeros((256, 3), dtype=np.uint8)))
    found = LabelImages(tmp_path).of(_frame("a"))
    assert found is not None
    np.testing.assert_array_equal(found, truth)


def test_label_images_lie_on_upright_frames(tmp_path: Path) -> None:
    truth = np.arange(12, dtype=np.uint8).reshape(3, 4)
    turned = np.ascontiguousarray(Orientation.TURN_RIGHT.inverse.apply(truth))
    assert cv2.imwrite(str(tmp_path / "upright.png"), truth)
    assert cv2.imwrite(str(tmp_path / "stored.png"), turned)
    ok, data = cv2.imencode(".png", turned)
    assert ok
    block = marks.png_chunk(b"eXIf", marks.exif(6))
    (tmp_path / "marked.png").write_bytes(data.tobytes()[:33] + block + data.tobytes()[33:])
    images = LabelImages(tmp_path)
    for name in ("upright", "marked"):
        found = images.of(_frame(name, stored_hw=(4, 3)))
        assert found is not None
        np.testing.assert_array_equal(found, truth)
    with pytest.raises(
        MediaError, match=r"it is 4x3 \(height x width\), as its frame is stored, which a mark turns"
    ):
        images.of(_frame("stored", stored_hw=(4, 3)))
