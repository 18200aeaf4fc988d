"""Real clips that nobody here made: what comes of each, and what its overlay is."""

import re
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pytest

from tdnet_runtime.media.orientation import Orientation
from tdnet_runtime.media.overlay import OverlayWriter
from tdnet_runtime.media.sources import open_source
from tdnet_runtime.media.video import VideoSource

SHARED = Path(__file__).parents[3].parent / "shared"
FOLDER = SHARED / "robot_files"
NTSC = Fraction(30000, 1001)
UNTAGGED = ("BT.601 (assumed: untagged)", "limited (assumed: untagged)")
SHARES = {"BT.601": (0.299, 0.114), "BT.709": (0.2126, 0.0722), "BT.2020": (0.2627, 0.0593)}


class Clip(NamedTuple):
    """What is expected of one file.

    `span_s` is from the first frame to the end of the last; `stream` is the index of the stream that is read.
    """

    frames: int
    size_hw: tuple[int, int]
    fps: Fraction | int
    span_s: float
    colors: tuple[str, str]
    stream: int = 0
    orientation: Orientation = Orientation.AS_STORED
    first_s: float = 0.0
    aspect: Fraction = Fraction(1)


BT601, BT709 = ("BT.601", "limited"), ("BT.709", "limited")
CLIPS = {
    "av1_video.mkv": Clip(125, (360, 640), 25, 5.0, BT709),
    "bbb_800x640_768kbps_30fps_avc_2b_firstpts_10_sec.mp4": Clip(
        120, (640, 800), 30, 4.0, UNTAGGED, first_s=10.0, aspect=Fraction(1137, 800)
    ),
    "bt601.mov": Clip(30, (428, 640), NTSC, 1.0201, BT601, stream=1),
    "bt709_full_range.mp4": Clip(30, (720, 1280), 30, 1.0, ("BT.709", "full")),
    "fire2.mp4": Clip(
        25, (720, 1280), Fraction(750000, 71393), 2.37977, UNTAGGED, orientation=Orientation.TURN_180
    ),
    "h265_10bits.mp4": Clip(30, (200, 200), 30, 1.0, (UNTAGGED[0], "limited")),
    "h265_with_metadata_track.mp4": Clip(
        3,
        (1920, 1080),
        Fraction(45000, 1501),
        0.10007,
        ("BT.601", "full"),
        stream=2,
        orientation=Orientation.TURN_RIGHT,
    ),
    "hlg10-color-test.mp4": Clip(
        9, (1080, 1920), Fraction(90000, 3001), 0.3001, ("BT.2020", "limited"), stream=1
    ),
    "nasa_13013.mp4": Clip(390, (270, 480), NTSC, 13.013, BT709, stream=3),
    "no_duration.webm": Clip(74, (720, 1280), Fraction(15000, 1001), 4.9387, BT709),
    "sample.avi": Clip(96, (400, 960), Fraction(24000, 1001), 4.08742, UNTAGGED),
    "sample_12_5fps_720p_1s.mp4": Clip(13, (720, 1280), Fraction(25, 2), 1.04, BT709, stream=1),
    "sample_edit_list_only_preroll_sync_sample.mp4": Clip(
        16, (360, 640), Fraction(23040000, 767849), 0.53323, BT709
    ),
    "sample_empty_track.mp4": Clip(30, (720, 1080), NTSC, 1.001, BT709),
    "sample_h264_iframes_only.ts": Clip(30, (480, 854), 30, 1.0, UNTAGGED, first_s=1.4),
    "sample_mdat_too_long.mp4": Clip(30, (720, 1080), NTSC, 1.001, UNTAGGED),
    "sample_partially_fragmented.mp4": Clip(30, (720, 1080), NTSC, 1.001, UNTAGGED, first_s=0.06673),
    "sample_portrait.mp4": Clip(30, (1080, 720), NTSC, 1.001, UNTAGGED),
    "sample_rotate_and_reflect.mp4": Clip(
        30, (1080, 720), NTSC, 1.001, UNTAGGED, orientation=Orientation.TRANSPOSE
    ),
    "sample_with_htc_rotation_track_name.mkv": Clip(30, (720, 1080), 30, 1.00033, UNTAGGED),
    "sample_with_increasing_timestamps_320w_240h_5s.mp4": Clip(300, (240, 320), 60, 5.0, ("BT.601", "full")),
    "trim_optimization_failure.mp4": Clip(
        167, (488, 518), Fraction(2505000, 83831), 5.58873, ("BT.709", "full")
    ),
}
NO_VIDEOS = (".md", ".mcap", ".bag", ".db3")

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="the robots' files lie beside the project only where they were put"
)


def test_every_video_there_has_its_expectation():
    assert {path.name for path in FOLDER.iterdir() if path.suffix not in NO_VIDEOS} == set(CLIPS)


@pytest.fixture(scope="module", params=CLIPS)
def clip(request, tmp_path_factory):
    """The file, what is expected, its stamps, the facts, and the overlay of all its frames, half black."""
    path, expected = FOLDER / request.param, CLIPS[request.param]
    overlay = tmp_path_factory.mktemp("overlays") / "overlay.mp4"
    with open_source(path) as source:
        assert source.size_hw == expected.size_hw
        assert source.fps == expected.fps
        labels = np.zeros(source.size_hw, np.uint8)
        frames = []
        with OverlayWriter(overlay, size_hw=source.size_hw, fps=source.fps, colors=[(0, 0, 0)]) as writer:
            for frame in source:
                assert frame.image.shape == (*expected.size_hw, 3)
                writer.write(frame, labels)
                frames.append((frame.name, frame.stamp_ns, frame.orientation, frame.pixel_aspect))
        count, damage, facts = source.frame_count, source.damage, dict(source.facts)
    return path, expected, frames, count, damage, facts, overlay


def test_what_comes(clip):
    path, expected, frames, count, damage, facts, _ = clip
    assert [name for name, *_ in frames] == [f"{index:06d}" for index in range(expected.frames)]
    assert (damage.skipped, damage.used, damage.examples) == (0, 0, [])
    assert {(orientation, aspect) for *_, orientation, aspect in frames} == {
        (expected.orientation, expected.aspect)
    }
    stamps = np.array([stamp for _, stamp, *_ in frames]) / 1e9
    assert stamps[0] == pytest.approx(expected.first_s, abs=1e-4)
    assert np.all(np.diff(stamps) > 0)
    assert (facts["color_matrix"], facts["color_range"]) == expected.colors
    assert facts["orientation"] == expected.orientation.words
    assert re.match(rf"{expected.stream}, \w+", facts["stream"])
    assert facts["reader"].startswith(f"PyAV {av.__version__}")
    if path.suffix == ".webm":
        assert count is None
    else:
        assert abs(count - expected.frames) <= 2


def test_the_overlay_lasts_as_long_and_frames_keep_their_times(clip):
    _, expected, frames, _, _, _, overlay = clip
    with av.open(str(overlay)) as container:
        stream = container.streams.video[0]
        assert float(stream.duration * stream.time_base) == pytest.approx(expected.span_s, abs=1e-3)
        assert stream.sample_aspect_ratio == expected.aspect
        begins, ends = [], []
        for packet in container.demux(stream):
            if packet.size:
                begins.append(float(packet.pts * packet.time_base))
                ends.append(float((packet.pts + packet.duration) * packet.time_base))
    stamps = np.array([stamp for _, stamp, *_ in frames]) / 1e9
    assert np.abs(np.array(begins) - (stamps - stamps[0])).max() < 5e-4
    assert np.abs(np.array(begins[1:]) - ends[:-1]).max() < 5e-4  # without a gap and without an overlap
    assert ends[-1] == pytest.approx(expected.span_s, abs=1e-3)


def planes_of(frame):
    """Y, Cb, Cr as float arrays of the frame's own size, and the depth in bits."""
    bits = 10 if "10le" in frame.format.name else 8
    dtype = np.uint16 if bits == 10 else np.uint8
    planes = []
    for plane in frame.planes[:3]:
        rows = np.frombuffer(plane, dtype).reshape(plane.height, -1)[:, : plane.width].astype(float)
        steps = -(-frame.height // plane.height), -(-frame.width // plane.width)
        planes.append(np.kron(rows, np.ones(steps))[: frame.height, : frame.width])
    return planes, bits


def by_hand(frame, colors):
    """RGB of a decoded frame: the definition of its matrix and range, each colour sample for its block."""
    (y, cb, cr), bits = planes_of(frame)
    unit, most = 1 << (bits - 8), (1 << bits) - 1
    full = colors[1].startswith("full")
    brightness = y / most if full else (y - 16 * unit) / (219 * unit)
    blue, red = ((c - 128 * unit) / (most if full else 224 * unit) for c in (cb, cr))
    share_r, share_b = SHARES[colors[0].split(" (")[0]]
    r, b = brightness + 2 * (1 - share_r) * red, brightness + 2 * (1 - share_b) * blue
    g = (brightness - share_r * r - share_b * b) / (1 - share_r - share_b)
    return np.clip(255 * np.stack([r, g, b], axis=-1), 0, 255)


UPRIGHT = {
    Orientation.AS_STORED: lambda image: image,
    Orientation.TURN_180: lambda image: image[::-1, ::-1],
    Orientation.TRANSPOSE: lambda image: image.swapaxes(0, 1),
    Orientation.TURN_RIGHT: lambda image: np.rot90(image, -1),
}


@pytest.mark.parametrize("name", CLIPS)
def test_pixels_are_those_computed_from_the_decoded_samples(name):
    expected = CLIPS[name]
    with av.open(str(FOLDER / name)) as container, VideoSource(FOLDER / name) as source:
        decoded = container.decode(container.streams[expected.stream])
        for frame, ours in islice(zip(decoded, source, strict=False), 0, 3, 2):
            hand = UPRIGHT[expected.orientation](by_hand(frame, expected.colors))
            error = ours.image - hand
            assert np.abs(error.mean(axis=(0, 1))).max() < 2
            if (
                "10le" not in frame.format.name
            ):  # there swscale's filters blend a colour sample and its neighbours
                assert np.percentile(np.abs(error), 99) <= 4


def test_the_dash_cams_video():
    path = SHARED / "video" / "dashcam.mp4"
    if not path.is_file():
        pytest.skip("the demo's video lies beside the project only where it was put")
    with open_source(path) as source:
        assert (source.size_hw, source.fps, source.frame_count) == ((540, 960), 25, 221)
        assert sum(1 for _ in source) == 221
        assert (source.damage.skipped, source.facts["color_matrix"]) == (0, "BT.601")
