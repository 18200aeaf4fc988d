"""Rotation and mirror marks of videos."""

import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.display_matrix import orientation_from_matrix
from tdnet_runtime.media.orientation import Orientation
from tdnet_runtime.media.overlay import OverlayWriter
from tdnet_runtime.media.video import VideoSource

# (a, b, c, d) of x' = a·x + c·y, y' = b·x + d·y, and what NumPy does to see the picture upright.
MATRICES = {
    Orientation.AS_STORED: ((1, 0, 0, 1), lambda image: image),
    Orientation.MIRROR: ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
    Orientation.TURN_180: ((-1, 0, 0, -1), lambda image: image[::-1, ::-1]),
    Orientation.FLIP: ((1, 0, 0, -1), lambda image: image[::-1]),
    Orientation.TRANSPOSE: ((0, 1, 1, 0), lambda image: image.swapaxes(0, 1)),
    Orientation.TURN_RIGHT: ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
    Orientation.TRANSVERSE: ((0, -1, -1, 0), lambda image: np.rot90(image, 2).swapaxes(0, 1)),
    Orientation.TURN_LEFT: ((0, -1, 1, 0), lambda image: np.rot90(image)),
}


def moved(image, matrix):
    """The picture by the matrix itself: the pixel (x, y) goes to (x', y'), and all into view."""
    a, b, c, d = matrix
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    to_x, to_y = a * x + c * y, b * x + d * y
    to_x, to_y = to_x - to_x.min(), to_y - to_y.min()
    out = np.zeros((to_y.max() + 1, to_x.max() + 1, 3), np.uint8)
    out[to_y, to_x] = image
    return out


def fixed(matrix):
    """The nine entries as a file stores them."""
    a, b, c, d = (round(value * 65536) for value in matrix)
    return [a, b, 0, c, d, 0, 0, 0, 1 << 30]


def write_marked(path, pictures, matrix, *, aspect=None):
    """A nearly lossless clip that carries `matrix`."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"qp": "1"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv444p"
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for index, image in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    none = struct.pack(">9i", *fixed((1, 0, 0, 1)))
    place = data.index(none, data.index(b"tkhd"))  # the track's, after the film's own
    path.write_bytes(data[:place] + struct.pack(">9i", *fixed(matrix)) + data[place + len(none) :])
    return path


@pytest.fixture
def marked(tmp_path, draw):
    """marked(matrix): a clip of three frames, and its pictures as stored."""

    def make(matrix, *, aspect=None):
        pictures = [draw(index) for index in range(3)]
        return write_marked(tmp_path / "clip.mp4", pictures, matrix, aspect=aspect), pictures

    return make


@pytest.mark.parametrize("orientation", MATRICES)
def test_all_eight_come_upright(marked, orientation):
    matrix, by_hand = MATRICES[orientation]
    path, pictures = marked(matrix)
    with VideoSource(path) as source:
        frames = list(source)
        assert source.facts["orientation"] == orientation.words
    for frame, stored in zip(frames, pictures, strict=True):
        upright = by_hand(stored)
        assert np.array_equal(upright, moved(stored, matrix))
        assert frame.orientation is orientation
        assert frame.image.shape == upright.shape
        assert frame.image.flags.c_contiguous
        assert np.abs(frame.image.astype(int) - upright).max() <= 8
        assert source.size_hw == upright.shape[:2]


@pytest.mark.parametrize("orientation", MATRICES)
def test_the_overlay_is_upright_and_without_a_mark(tmp_path, marked, orientation):
    matrix, by_hand = MATRICES[orientation]
    path, pictures = marked(matrix, aspect=Fraction(4, 3))
    overlay = tmp_path / "overlay.mp4"
    with VideoSource(path) as source:
        labels = np.zeros(source.size_hw, np.uint8)
        with OverlayWriter(overlay, size_hw=source.size_hw, fps=source.fps, colors=[(0, 0, 0)]) as writer:
            for frame in source:
                writer.write(frame, labels)
    with VideoSource(overlay) as source:
        frames = list(source)
    assert len(frames) == 3
    assert frames[0].orientation is Orientation.AS_STORED
    assert frames[0].pixel_aspect == (Fraction(3, 4) if orientation.swaps_sides else Fraction(4, 3))
    upright = by_hand(pictures[0])
    assert frames[0].image.shape == upright.shape
    assert np.abs(frames[0].image.astype(int) - upright // 2).mean() < 6  # black at one half lies over it


@pytest.mark.parametrize("degrees", [3.0, 87.0, -92.5, 176.0])
def test_a_few_degrees_off_is_the_nearest_and_told(degrees):
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    orientation, words = orientation_from_matrix((cos, sin, -sin, cos))
    expected = {0: "AS_STORED", 90: "TURN_RIGHT", -90: "TURN_LEFT", 180: "TURN_180"}[round(degrees / 90) * 90]
    assert orientation is Orientation[expected]
    assert words == f"{orientation.words} (nearest to {degrees:.1f} degrees)"


@pytest.mark.parametrize("matrix", [(0.7, 0.7, -0.7, 0.7), (0, 0, 0, 0), (1, 0, 0, 0), (1, 1, 1, 1)])
def test_no_quarter_turn_is_refused(marked, matrix):
    path, _ = marked(matrix)
    with pytest.raises(MediaError, match=r"display matrix turns by .* expected quarter turns") as caught:
        VideoSource(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(f": '{path}'")


def test_a_mark_that_changes_in_mid_stream_turns_each_frame_by_its_own(tmp_path, draw, monkeypatch):
    """Phones turned while they record leave such marks in the frames of some formats."""
    pictures = [draw(0)] * 4
    path = write_marked(tmp_path / "clip.mp4", pictures, (1, 0, 0, 1))
    monkeypatch.setattr(
        "tdnet_runtime.media.video.display_matrix",
        lambda frame: (-1, 0, 0, -1) if frame.time > 0.1 else (1, 0, 0, 1),
    )
    with VideoSource(path) as source:
        frames = list(source)
        assert source.facts["orientation"] == "mixed"
    assert [frame.orientation.name for frame in frames] == ["AS_STORED"] * 3 + ["TURN_180"]
    assert np.abs(frames[3].image[::-1, ::-1].astype(int) - frames[0].image).max() <= 8


@pytest.mark.parametrize(("key", "value"), [("title", "htc_video_rotA-090"), ("rotate", "90")])
def test_a_mark_in_words_is_told_and_not_followed(tmp_path, draw, key, value):
    """As FFmpeg does, whose pixels other programs compare with."""
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width = draw(0).shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.metadata[key] = value
        container.mux(stream.encode(av.VideoFrame.from_ndarray(draw(0), format="rgb24")))
        container.mux(stream.encode(None))
    with VideoSource(path) as source:
        assert source.size_hw == draw(0).shape[:2]
        assert source.facts["mark_not_followed"].lower() == f"{key}: {value}".lower()
