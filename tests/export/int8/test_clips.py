"""Which frames of the calibration footage are taken."""

import numpy as np
import pytest

from tdnet_export.int8 import clips
from tdnet_export.int8.clips import CLIPS, calibration_clips, clip_starts
from tdnet_runtime.errors import MediaError, OptionError

cv2 = pytest.importorskip("cv2")


@pytest.mark.parametrize(
    ("frames", "paths", "clips", "starts"),
    [
        (1, 2, 8, []),
        (2, 2, 8, [0]),
        (5, 2, 8, [0, 3]),
        (30, 2, 3, [0, 14, 28]),
        (1000, 4, 1, [0]),
        (32, 4, 8, [0, 4, 8, 12, 16, 20, 24, 28]),
    ],
)
def test_starts_of_hand_computed_cases(frames, paths, clips, starts):
    assert clip_starts(frames, paths=paths, clips=clips) == starts


@pytest.mark.parametrize("paths", [1, 2, 4])
def test_clips_never_overlap_and_never_run_out(paths):
    for frames in range(paths, 200):
        starts = clip_starts(frames, paths=paths)
        assert len(starts) == min(CLIPS, frames // paths)
        assert (np.diff(starts) >= paths).all()
        assert starts[-1] + paths <= frames


@pytest.fixture
def footage(tmp_path):
    """footage(count): a folder of frames that are as bright as their index, 6x8."""

    def make(count):
        for index in range(count):
            assert cv2.imwrite(str(tmp_path / f"{index:04}.png"), np.full((6, 8, 3), index, np.uint8))
        return str(tmp_path)

    return make


def test_clips_are_the_frames_at_their_starts(footage):
    clips = list(calibration_clips(footage(30), paths=2, size_hw=(3, 4), clips=3))
    assert [[int(frame[0, 0, 0]) for frame in clip] for clip in clips] == [
        [0, 1],
        [14, 15],
        [28, 29],
    ]
    assert {(frame.shape, frame.dtype.name) for clip in clips for frame in clip} == {((3, 4, 3), "uint8")}
    assert len({id(frame) for clip in clips for frame in clip}) == 6


def test_too_few_frames(footage):
    source = footage(3)
    with pytest.raises(
        OptionError, match=r"^--calibration has 3 frames; expected 4 consecutive ones or more, better 32"
    ):
        list(calibration_clips(source, paths=4, size_hw=(3, 4)))


def test_no_footage(tmp_path):
    with pytest.raises(MediaError, match="no such video file or folder"):
        list(calibration_clips(str(tmp_path / "none"), paths=2, size_hw=(3, 4)))


@pytest.mark.parametrize(
    ("lengths", "clips", "expected"),
    [
        ([3, 1, 3], 8, [[0, 1], [4, 5]]),  # no clip crosses, a short sequence has none
        ([6, 6], 3, [[0, 1], [4, 5], [6, 7]]),
        ([2, 2, 2, 2, 2], 2, [[0, 1], [8, 9]]),
    ],
)
def test_clips_of_several_sequences(tmp_path, lengths, clips, expected):
    level = 0
    for name, count in zip("abcde", lengths, strict=False):
        (tmp_path / name).mkdir()
        for index in range(count):
            path = tmp_path / name / f"{index}.png"
            assert cv2.imwrite(str(path), np.full((6, 8, 3), level, np.uint8))
            level += 1
    found = calibration_clips(str(tmp_path), paths=2, size_hw=(3, 4), clips=clips)
    assert [[int(frame[0, 0, 0]) for frame in clip] for clip in found] == expected


@pytest.mark.parametrize(
    "source",
    [
        "0",
        "camera:0",
        "/dev/video0",
        "rtsp://me:secret@robot/front",
        "udp://0.0.0.0:5000",
        "ros2:///front/image",
    ],
)
def test_a_source_that_never_ends_is_refused_unopened(source, monkeypatch):
    """Counting its frames would take for ever."""
    monkeypatch.setattr(clips, "open_source", lambda *_, **__: pytest.fail("it was opened"))
    with pytest.raises(
        OptionError, match=r"^--calibration needs a video.* which never ends: record it"
    ) as caught:
        list(calibration_clips(source, paths=2, size_hw=(3, 4)))
    assert "secret" not in str(caught.value)
