from pathlib import Path

import cv2
import numpy as np
import pytest

from tdnet_runtime.errors import MediaError
from tdnet_runtime.media import camera
from tdnet_runtime.media.camera import CameraSource, camera_index


class FakeCapture:
    """OpenCV's interface, with pictures from a list and then none."""

    def __init__(self, pictures):
        self.pictures = list(pictures)
        self.released = False

    def __call__(self, index):
        self.index = index
        return self

    def set(self, option, value):
        return True

    def read(self):
        return (True, self.pictures.pop(0)[..., ::-1].copy()) if self.pictures else (False, None)

    def release(self):
        self.released = True


@pytest.fixture
def plug_in(monkeypatch):
    def make(pictures):
        capture = FakeCapture(pictures)
        monkeypatch.setattr(Path, "exists", lambda path: True)
        monkeypatch.setattr(cv2, "VideoCapture", capture)
        return capture

    return make


@pytest.mark.parametrize(
    ("spec", "index"),
    [
        ("0", 0),
        ("camera:2", 2),
        ("/dev/video11", 11),
        ("video.mp4", None),
        ("./0", None),
        ("-1", None),
        ("٣", None),
    ],
)
def test_camera_names(spec, index):
    assert camera_index(spec) == index


def test_frames_until_it_is_unplugged(plug_in, draw):
    capture = plug_in([draw(i) for i in range(4)])  # the first shows that it works, and is not given
    frames = []
    with CameraSource(3) as source:
        assert (capture.index, source.fps, source.frame_count, source.size_hw) == (3, None, None, (36, 52))
        with pytest.raises(MediaError, match="reading camera 3: it stopped after 3 frames"):
            frames.extend(source)
    assert capture.released
    assert [frame.name for frame in frames] == ["000000", "000001", "000002"]
    assert sorted(frame.stamp_ns for frame in frames) == [frame.stamp_ns for frame in frames]
    assert all(np.array_equal(frame.image, draw(i + 1)) for i, frame in enumerate(frames))


def test_a_device_without_frames(plug_in):
    capture = plug_in([])
    with pytest.raises(MediaError, match=r"opening camera 0: /dev/video0 gives no frames. Another program"):
        CameraSource(0)
    assert capture.released


def test_a_change_of_size(plug_in, draw):
    plug_in([draw(0), draw(1), draw(2, height=20, width=30)])
    with CameraSource(0) as source, pytest.raises(MediaError, match="frame 1 is 20x30, the first was 36x52"):
        list(source)


def test_present_cameras_are_listed(monkeypatch):
    monkeypatch.setattr(Path, "exists", lambda path: False)
    monkeypatch.setattr(Path, "glob", lambda path, pattern: [Path("/dev/video2"), Path("/dev/video1")])
    with pytest.raises(MediaError, match=r"cameras present: /dev/video1, /dev/video2"):
        camera.CameraSource(0)
