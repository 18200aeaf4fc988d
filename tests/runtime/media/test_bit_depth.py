import cv2
import numpy as np
import pytest

from tdnet_runtime.errors import MediaError, OptionError
from tdnet_runtime.media import images
from tdnet_runtime.media.images import ImageFolderSource
from tdnet_runtime.media.sources import open_source

FULL = {8: 255, 10: 1023, 12: 4095, 14: 16383, 16: 65535}


def write(folder, pictures):
    for name, samples in pictures.items():
        assert cv2.imwrite(str(folder / name), samples[..., ::-1] if samples.ndim == 3 else samples)


def ramp(full, *, height=36, width=52):
    """From 0 to `full`, uint16."""
    return np.linspace(0, full, height * width * 3).round().astype(np.uint16).reshape(height, width, 3)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("bits", FULL)
def test_detected_from_the_samples(tmp_path, suffix, bits):
    samples = ramp(FULL[bits])
    write(tmp_path, {f"a.{suffix}": samples})
    with ImageFolderSource(tmp_path) as source:
        (frame,) = source
    assert np.array_equal(frame.image, np.rint(samples * (255 / FULL[bits])))
    assert source.facts["bit_depth"] == bits
    assert source.facts.get("bit_depth_detected", False) == (bits > 8)


def test_one_depth_for_all_images_dark_ones_too(tmp_path):
    dark, bright = ramp(200), ramp(4000)
    write(tmp_path, {"0.png": dark, "1.png": dark, "2.png": bright, "3.png": dark[..., 0]})
    frames = list(ImageFolderSource(tmp_path))
    assert [frame.image.max() for frame in frames] == [12, 12, 249, 12]


def test_twelve_bits_made_of_eight(tmp_path):
    """Their lowest bits are 0, which does not make them left-aligned."""
    samples = np.arange(240, dtype=np.uint16).reshape(12, 20) << 4
    write(tmp_path, {"0.png": samples})
    (frame,) = ImageFolderSource(tmp_path)
    assert frame.image.max() == round(239 * 16 * 255 / 4095)


def test_one_depth_for_all_sequences(tmp_path):
    for name, full in (("night", 900), ("noon", 4000)):
        (tmp_path / name).mkdir()
        write(tmp_path / name, {"0.png": ramp(full)})
    frames = list(ImageFolderSource(tmp_path))
    assert [frame.image.max() for frame in frames] == [56, 249]


def test_a_stated_depth_is_taken_and_nothing_looked_up(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "largest_sample", lambda paths: pytest.fail("looked up"))
    write(tmp_path, {"0.png": ramp(200)})
    with open_source(tmp_path, bit_depth=12) as source:
        (frame,) = source
    assert frame.image.max() == 12
    assert source.facts["bit_depth"] == 12
    assert "bit_depth_detected" not in source.facts


def test_samples_beyond_the_stated_depth(tmp_path):
    write(tmp_path, {"0.png": ramp(5000)})
    with (
        open_source(tmp_path, bit_depth=12) as source,
        pytest.raises(
            MediaError,
            match=r"samples go up to 5000, beyond the 12 bits stated; .*depth, 13 or more, with .*--bit-depth.*'.*0\.png'",
        ),
    ):
        list(source)


def test_samples_beyond_the_detected_depth_are_never_clipped(tmp_path):
    """A flash in one of the images that were not looked at."""
    pictures = {f"{index:02d}.png": ramp(900, height=4, width=5) for index in range(30)}
    pictures["01.png"] = ramp(4000, height=4, width=5)
    write(tmp_path, pictures)
    with (
        ImageFolderSource(tmp_path) as source,
        pytest.raises(
            MediaError,
            match="go up to 4000, beyond the 10 bits that the first, the last and some between them need",
        ),
    ):
        list(source)


def test_8_and_16_bits_in_one_folder(tmp_path):
    write(tmp_path, {"0.jpg": np.full((36, 52, 3), 90, np.uint8), "1.png": ramp(4095)})
    with ImageFolderSource(tmp_path) as source:
        assert [frame.image.max() for frame in source] == [90, 255]
    assert source.facts["bit_depth"] == "8 and 12"


def test_a_depth_that_8_bits_cannot_have(tmp_path):
    write(tmp_path, {"0.png": np.zeros((6, 8), np.uint8)})
    with (
        open_source(tmp_path, bit_depth=12) as source,
        pytest.raises(MediaError, match="the depth is stated to be 12 bits, but its samples have 8 bits"),
    ):
        list(source)
    with open_source(tmp_path, bit_depth=8) as source:
        assert len(list(source)) == 1


def test_floating_point_is_refused(tmp_path):
    write(tmp_path, {"0.tif": np.zeros((6, 8, 3), np.float32)})
    with pytest.raises(MediaError, match="its samples are float32; expected 8 or 16 bits"):
        ImageFolderSource(tmp_path)


def test_a_depth_goes_with_images():
    with pytest.raises(OptionError, match="--bit-depth goes with a folder of images; leave it out for '0'"):
        open_source("0", bit_depth=12)
