"""Frames for the proof: the scene, or a user's clip of any size."""

import cv2
import numpy as np
import pytest

from tdnet_export import footage
from tdnet_export.footage import proof_frames
from tdnet_runtime.errors import MediaError, OptionError
from tdnet_runtime.media.scene import render


@pytest.fixture
def clip(tmp_path):
    """clip(count, size): a folder of that many images, each of one colour, in which R, G and B differ."""

    def make(count, size):
        folder = tmp_path / "clip"
        folder.mkdir()
        for index in range(count):
            image = np.empty((*size, 3), np.uint8)
            image[:] = (index, 100, 200)  # OpenCV writes BGR
            cv2.imwrite(str(folder / f"frame{index}.png"), image)
        return str(folder)

    return make


def test_the_scene_moves():
    frames = list(proof_frames(None, 5, size_hw=(48, 96)))
    assert [frame.shape for frame in frames] == [(48, 96, 3)] * 5
    assert all(np.array_equal(frame, render(t, height=48, width=96)) for t, frame in enumerate(frames))
    assert len({frame.tobytes() for frame in frames}) == 5


@pytest.mark.parametrize("size", [(48, 96), (30, 50), (100, 70)])
def test_a_clip_in_order_rgb_and_resized(size, clip):
    frames = list(proof_frames(clip(12, size), 11, size_hw=(48, 96)))
    assert [frame.shape for frame in frames] == [(48, 96, 3)] * 11
    assert all(frame.dtype == np.uint8 for frame in frames)
    assert [frame[20, 30].tolist() for frame in frames] == [[200, 100, index] for index in range(11)]


def test_resizing_is_the_runtimes(tmp_path):
    image = render(3, height=61, width=107)
    cv2.imwrite(str(tmp_path / "0.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    (frame,) = proof_frames(str(tmp_path), 1, size_hw=(48, 96))
    assert np.array_equal(frame, cv2.resize(image, (96, 48), interpolation=cv2.INTER_LINEAR))


def test_a_short_clip_is_refused_with_both_counts(clip):
    message = r"--frames has 7 frames; the proof needs 8 consecutive ones \(3 rounds of all paths and 2\)"
    with pytest.raises(OptionError, match=message):
        list(proof_frames(clip(7, (48, 96)), 8, size_hw=(48, 96)))


def test_a_short_calibration_clip_is_named_as_that(clip):
    message = r"^--calibration has 7 frames; the proof needs 8 .* or a clip of its own with --frames: '"
    with pytest.raises(OptionError, match=message):
        list(proof_frames(clip(7, (48, 96)), 8, size_hw=(48, 96), option="--calibration"))


def test_a_short_clip_of_a_camera_keeps_its_password(monkeypatch):
    class Camera:
        def __enter__(self):
            return iter(())

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(footage, "open_source", lambda *_, **__: Camera())
    with pytest.raises(OptionError, match=r"--frames has 0 frames.*'http://admin:\*\*\*@cam/'"):
        list(proof_frames("http://admin:secret@cam/", 8, size_hw=(48, 96)))


def test_an_absent_clip(tmp_path):
    with pytest.raises(MediaError, match="no such video file or folder"):
        next(proof_frames(str(tmp_path / "absent.mp4"), 8, size_hw=(48, 96)))


def test_a_proof_stays_in_one_sequence(tmp_path):
    for name, count in (("a", 3), ("b", 9)):
        (tmp_path / name).mkdir()
        for index in range(count):
            cv2.imwrite(str(tmp_path / name / f"{index}.png"), np.zeros((9, 9, 3), np.uint8))
    assert len(list(proof_frames(str(tmp_path), 3, size_hw=(8, 8)))) == 3
    with pytest.raises(OptionError, match="--frames has 3 frames in its first sequence; the proof needs 8"):
        list(proof_frames(str(tmp_path), 8, size_hw=(8, 8)))


def test_a_damaged_frame_ends_a_proof(clip, tmp_path):
    folder = clip(12, (48, 96))
    (tmp_path / "clip" / "frame3.png").write_bytes(b"damaged")
    with pytest.raises(MediaError, match=r"damaged or cut short: '.*frame3\.png'"):
        list(proof_frames(folder, 11, size_hw=(48, 96)))
