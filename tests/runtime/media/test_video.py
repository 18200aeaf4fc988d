import re
from fractions import Fraction
from types import SimpleNamespace

import av
import av.logging
import numpy as np
import pytest

from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.sources import open_source
from tdnet_runtime.media.video import VideoSource
from tdnet_runtime.media.video_file import promised_end_s

FAST_START = {"movflags": "faststart"}
NTSC = Fraction(30000, 1001)


def read(path):
    """Frames until the end or the error, and the error."""
    frames = []
    with VideoSource(path) as source:
        try:
            frames.extend(source)
        except MediaError as error:
            return frames, str(error)
    return frames, None


def test_frames_of_odd_size_names_stamps_and_exact_rate(tmp_path, draw, encode):
    pictures = [draw(i, height=35, width=53) for i in range(12)]
    path = encode(tmp_path / "clip.mkv", pictures, rate=NTSC, codec="ffv1")
    with open_source(path) as source:
        assert (source.fps, source.frame_count, source.size_hw) == (NTSC, 12, (35, 53))
        frames = list(source)
    assert [frame.name for frame in frames] == [f"{i:06d}" for i in range(12)]
    for index, (frame, expected) in enumerate(zip(frames, pictures, strict=True)):
        assert frame.image.dtype == np.uint8
        assert frame.image.flags.c_contiguous
        # lossless but for RGB -> YUV -> RGB in 8 bits
        assert np.abs(frame.image.astype(int) - expected).max() <= 3
        assert abs(frame.stamp_ns - index * 1e9 / NTSC) <= 1_000_000  # Matroska's clock ticks in ms


def test_each_frame_has_memory_of_its_own(tmp_path, draw, encode):
    path = encode(tmp_path / "clip.mp4", [draw(i) for i in range(4)])
    with VideoSource(path) as source:
        first, second, *_ = source
    assert not np.shares_memory(first.image, second.image)


def test_stop_ends_it(tmp_path, draw, encode):
    with VideoSource(encode(tmp_path / "clip.mp4", [draw(i) for i in range(4)])) as source:
        assert not source.live
        frames = iter(source)
        assert next(frames).lost_before == 0
        source.stop()
        assert list(frames) == []


def test_the_matrix_that_the_file_names_is_used(tmp_path):
    red = np.full((16, 16, 3), (200, 30, 60), np.uint8)
    path = tmp_path / "bt709.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"qp": "4"})
        stream.height = stream.width = 16
        stream.codec_context.colorspace = 1
        rgb = av.VideoFrame.from_ndarray(red, format="rgb24")
        frame = rgb.reformat(format="yuv420p", dst_colorspace="ITU709")
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    (frame,), _ = read(path)
    assert np.abs(frame.image.astype(int) - red).max() <= 6


def test_frames_stored_in_another_order_without_times(tmp_path, draw, encode):
    """H.264 with B-frames in AVI, which names no times of presentation."""
    path = encode(tmp_path / "clip.avi", [draw(i) for i in range(30)], codec="libx264")
    with av.open(str(path)) as container:
        assert not np.all(np.diff([frame.pts for frame in container.decode(video=0)]) > 0)
    with VideoSource(path) as source:
        assert source.fps == 25
        frames = list(source)
        assert "frames_out_of_time_order" not in source.facts
    stamps_ms = np.array([frame.stamp_ns for frame in frames]) / 1e6
    assert np.diff(stamps_ms) == pytest.approx([40] * 29, abs=1e-3)


def test_facts_of_a_video(tmp_path, draw, encode):
    with VideoSource(encode(tmp_path / "clip.mp4", [draw(i) for i in range(3)])) as source:
        frames = list(source)
        facts = source.facts
    assert facts["reader"].startswith(f"PyAV {av.__version__}, libavcodec ")
    del facts["reader"]
    assert facts == {
        "stream": "0, mpeg4",
        "orientation": "as stored",
        "pixel_format": "yuv420p",
        "color_matrix": "BT.601 (assumed: untagged)",
        "color_range": "limited (assumed: untagged)",
        "shortest_step_s": 0.04,
        "longest_step_s": 0.04,
        "mean_fps": 25.0,
    }
    assert [frame.duration_ns for frame in frames] == [40_000_000] * 3


def test_messages_of_ffmpeg_are_off_again_after_a_video(tmp_path, draw, encode):
    before = av.logging.get_level()
    path = encode(tmp_path / "clip.mp4", [draw(0)])
    with VideoSource(path):
        assert av.logging.get_level() == av.logging.ERROR
    assert av.logging.get_level() == before
    path.write_bytes(b"not a video" * 99)
    with pytest.raises(MediaError):
        VideoSource(path)
    assert av.logging.get_level() == before


def test_a_name_with_a_colon_is_a_file(tmp_path, draw, encode):
    path = encode(tmp_path / "clip.mp4", [draw(0)]).rename(tmp_path / "cam:1.mp4")
    assert len(read(path)[0]) == 1


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_cut_short_gives_what_decodes_and_then_says_so(tmp_path, draw, encode, suffix):
    rng = np.random.default_rng(3)
    noise = [rng.integers(0, 255, (64, 96, 3), dtype=np.uint8) for _ in range(50)]
    options = FAST_START if suffix == "mp4" else None
    path = encode(tmp_path / f"clip.{suffix}", noise, options=options)
    assert (len(read(path)[0]), read(path)[1]) == (50, None)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    frames, message = read(path)
    assert 15 < len(frames) < 35
    assert f"reading the video stopped after {len(frames)} frames" in message
    assert "cut short" in message
    assert message.endswith(f"'{path}'")


def test_a_damaged_time_does_not_hide_a_cut(tmp_path, draw, encode):
    """A frame that claims to come after the file's end says nothing of the frames that are gone."""
    path = encode(
        tmp_path / "clip.mp4",
        [draw(i) for i in range(60)],
        codec="libx264",
        options=FAST_START | {"use_editlist": "0"},
    )
    data = bytearray(path.read_bytes())
    data[data.index(b"ctts") + 12 + 8 * 10 + 5] = 0xFF  # the 11th entry's offset
    path.write_bytes(data[: len(data) - 400])
    frames, message = read(path)
    assert 10 < len(frames) < 58
    assert "the file is cut short, " in message
    assert "copy it again, or go on with what came" in message


def test_a_cut_in_the_last_fragment(tmp_path, draw, encode):
    """Such files say nothing of their length."""
    options = {"movflags": "frag_keyframe+empty_moov+skip_trailer"}
    path = encode(tmp_path / "clip.mp4", [draw(i) for i in range(20)], options=options)
    assert (len(read(path)[0]), read(path)[1]) == (20, None)
    path.write_bytes(path.read_bytes()[:-30])
    frames, message = read(path)
    assert len(frames) < 20
    assert re.search(
        r"1\d of the 20 pictures that its index lists are there; the file is damaged or cut short", message
    )


def test_a_codec_that_nobody_knows(tmp_path, draw, encode):
    path = encode(tmp_path / "clip.mp4", [draw(0)], codec="libx264")
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(MediaError, match="no decoder for its pictures, or its header is damaged"):
        VideoSource(path)


def test_a_header_without_streams(tmp_path, draw, encode):
    path = encode(tmp_path / "clip.mkv", [draw(0)])
    data = bytearray(path.read_bytes())
    data[data.rindex(b"\x16\x54\xae\x6b")] = 0x15  # the tracks' own name; the first is in a table
    path.write_bytes(data)
    with pytest.raises(MediaError, match="no stream is left in it, so its header is damaged or cut short"):
        VideoSource(path)


def test_a_container_without_pictures(tmp_path):
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(MediaError, match="it holds audio, but no pictures"):
        VideoSource(path)


def test_a_header_without_frames(tmp_path, draw, encode):
    path = encode(tmp_path / "clip.mp4", [draw(0)], options={"movflags": "empty_moov+frag_keyframe"})
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moof") - 4])
    with pytest.raises(MediaError, match=r"not a single frame|cut short before its index"):
        VideoSource(path)


def test_the_size_changes_in_mid_stream(tmp_path, draw, encode):
    small = encode(tmp_path / "small.ts", [draw(i) for i in range(10)])
    large = encode(tmp_path / "large.ts", [draw(i, height=48, width=64) for i in range(10)])
    path = tmp_path / "both.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    frames, message = read(path)
    assert {frame.image.shape for frame in frames} == {(36, 52, 3)}
    assert "the next one is 48x64, the first was 36x52 (height x width)" in message


@pytest.mark.parametrize(
    ("told", "end_s"),
    [
        ("00:01:02.500000000", Fraction(125, 2)),
        ("26:00:00", 93600),
        ("00:00:1/0", 0),
        ("00:00:1e5", 0),
        ("9" * 5000 + ":00:00", 0),
        ("soon", 0),
    ],
)
def test_how_long_a_matroska_file_says_that_it_is(told, end_s):
    """Whatever stands there, it is read as a time or not at all."""
    stream = SimpleNamespace(metadata={"DURATION-eng": told}, frames=0, average_rate=None)
    file = SimpleNamespace(format=SimpleNamespace(name="matroska,webm"), duration=None)
    assert promised_end_s(file, stream) == end_s


@pytest.mark.parametrize(
    ("tags", "end_s"),
    [
        ({"DURATION-eng": "00:10:00.0", "DURATION": "00:00:04.0"}, 4),
        ({"DURATION": "00:00:04.0", "DURATION-eng": "00:10:00.0"}, 4),
        ({"DURATION-eng": "00:10:00.0"}, 5),
        ({"DURATION": "00:10:00.0"}, 5),
    ],
)
def test_a_length_that_an_edit_left_in_a_matroska_file(tags, end_s):
    file = SimpleNamespace(format=SimpleNamespace(name="matroska,webm"), duration=5_000_000)
    assert promised_end_s(file, SimpleNamespace(metadata=tags)) == end_s


def test_a_whole_matroska_file_with_the_length_of_a_longer_one(tmp_path, draw):
    path = tmp_path / "cut.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width = draw(0).shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.metadata["DURATION-eng"] = "00:10:00.000000000"
        for index in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(draw(index), format="rgb24")))
        container.mux(stream.encode(None))
    frames, message = read(path)
    assert (len(frames), message) == (10, None)
