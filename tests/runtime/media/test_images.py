import cv2
import numpy as np
import pytest

from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.images import ImageFolderSource, natural_key
from tdnet_runtime.media.sources import open_source


def write_images(folder, pictures):
    folder.mkdir(exist_ok=True)
    for name, image in pictures.items():
        assert cv2.imwrite(str(folder / name), image[..., ::-1])
    return folder


def test_natural_order():
    names = ["b2.png", "a10.png", "a2.png", "A3.png", "a.png", "2.png", "10.png", "a²1.png"]
    expected = ["2.png", "10.png", "a2.png", "A3.png", "a10.png", "a.png", "a²1.png", "b2.png"]
    assert sorted(names, key=natural_key) == expected


def test_images_as_frames(tmp_path, draw):
    pictures = {f"street_{i}.png": draw(i, height=35, width=53) for i in (0, 2, 10)}
    folder = write_images(tmp_path / "in", pictures)
    (folder / "notes.txt").write_text("not an image")
    (folder / "._street_0.png").write_bytes(b"left by another system")
    (folder / "sub").mkdir()
    with open_source(folder) as source:
        assert (source.fps, source.frame_count, source.size_hw) == (None, 3, (35, 53))
        frames = list(source)
    assert [frame.name for frame in frames] == ["street_0", "street_2", "street_10"]
    assert [frame.stamp_ns for frame in frames] == [0, 40_000_000, 80_000_000]
    for frame, expected in zip(frames, pictures.values(), strict=True):
        assert np.array_equal(frame.image, expected)
        assert frame.image.flags.c_contiguous


def test_stop_ends_it(tmp_path, draw):
    with open_source(write_images(tmp_path, {f"{i}.png": draw(i) for i in range(3)})) as source:
        assert not source.live
        frames = iter(source)
        assert next(frames).arrival_ns is None
        source.stop()
        assert list(frames) == []


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "bmp", "tif", "tiff", "webp", "PNG"])
def test_every_suffix(tmp_path, draw, suffix):
    folder = write_images(tmp_path / "in", {f"a.{suffix}": draw(0)})
    (frame,) = ImageFolderSource(folder)
    assert np.abs(frame.image.astype(int) - draw(0)).mean() < 6  # JPEG and WebP halve the colours' resolution


def test_grey_16_bit_and_transparent_images_become_rgb(tmp_path, draw):
    grey = draw(0)[..., 0]
    cv2.imwrite(str(tmp_path / "a.png"), grey)
    cv2.imwrite(str(tmp_path / "b.png"), grey.astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / "c.png"), np.dstack([grey, grey, grey, grey]))
    for frame in ImageFolderSource(tmp_path):
        assert np.array_equal(frame.image, np.dstack([grey] * 3))


def test_mixed_sizes(tmp_path, draw):
    folder = write_images(tmp_path / "in", {"0.png": draw(0), "1.png": draw(1, height=20, width=30)})
    with ImageFolderSource(folder) as source:
        frames = iter(source)
        next(frames)
        with pytest.raises(
            MediaError, match=r"stopped after 1: the next is 20x30, the first was 36x52.*1\.png'"
        ):
            next(frames)


@pytest.mark.parametrize("damage", ["cut short", "empty", "text"])
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp"])
def test_a_damaged_image_is_named_and_the_decoders_noise_held_back(tmp_path, draw, capfd, suffix, damage):
    folder = write_images(tmp_path / "in", {f"bad.{suffix}": draw(0, height=200, width=200)})
    path = folder / f"bad.{suffix}"
    data = path.read_bytes()
    path.write_bytes({"cut short": data[: len(data) // 2], "empty": b"", "text": b"hello\n"}[damage])
    expected = "the file is empty" if damage == "empty" else "not an image, damaged or cut short"
    with pytest.raises(MediaError, match=rf"reading an image: {expected}.*bad\.{suffix}'"):
        ImageFolderSource(folder)
    assert capfd.readouterr().err == ""


def test_two_images_that_would_share_a_label_file(tmp_path, draw):
    folder = write_images(tmp_path / "in", {"a.png": draw(0), "a.bmp": draw(1)})
    with pytest.raises(MediaError, match=r"'a\.bmp' and 'a\.png' would share the label image 'a\.png'"):
        ImageFolderSource(folder)
