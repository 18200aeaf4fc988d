"""Streams, rates and lengths as files tell them."""

import struct
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest

from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.video import VideoSource
from tdnet_runtime.media.video_file import expected_frames, frame_rate

MS = Fraction(1, 1000)


def stream_of(*named, time_base=MS, frames=0, duration=None, start=0):
    average, guessed, base = (*named, None, None, None)[:3]
    return SimpleNamespace(
        average_rate=average,
        guessed_rate=guessed,
        base_rate=base,
        time_base=time_base,
        frames=frames,
        duration=duration,
        start_time=start,
        metadata={},
    )


def packets(times, *, more=False):
    """Packets with these times, and the empty one at a file's end unless `more` come."""
    found = [SimpleNamespace(pts=time, size=9, is_discard=False) for time in times]
    return found if more else [*found, SimpleNamespace(pts=None, size=0, is_discard=False)]


def test_a_rate_that_the_time_stamps_contradict_is_not_believed():
    """As of a real Matroska clip; its clock ticks in milliseconds."""
    times = [round(index * 1000 / 30) for index in range(30)]
    assert frame_rate(stream_of(Fraction(1000), Fraction(60), Fraction(60)), packets(times)) == 30
    assert frame_rate(stream_of(Fraction(1000)), packets(times)) == 30
    assert frame_rate(stream_of(), packets(times)) == 30


@pytest.mark.parametrize(
    "rate", [Fraction(25), Fraction(30000, 1001), Fraction(25, 2), Fraction(750000, 71393)]
)
def test_the_named_rate_is_exact_where_the_time_stamps_agree(rate):
    times = [round(index * 1000 / rate) for index in range(40)]
    assert frame_rate(stream_of(rate, Fraction(90000)), packets(times, more=True)) == rate
    assert frame_rate(stream_of(Fraction(500), rate), packets(times, more=True)) == rate


def test_frames_that_were_left_out_leave_the_rate_as_it_is():
    times = [40 * index for index in range(40) if index % 9]
    assert frame_rate(stream_of(Fraction(25)), packets(times)) == 25


def test_packets_in_decoding_order_and_some_missing_at_the_end_of_the_look():
    order = [0, 4, 2, 1, 3, 8, 6, 5, 7, 12, 10, 9, 11, 16, 14, 13, 15, 20]
    times = [40 * place for place in order]
    assert frame_rate(stream_of(Fraction(1000)), packets(times, more=True)) == 25


@pytest.mark.parametrize("last", [2**40 + 1, 2**62 - 3])
def test_a_damaged_time_does_not_keep_us_looking_for_a_rate(last):
    rate = frame_rate(stream_of(), packets([0, 40, 80, last]))
    assert rate == pytest.approx(3000 / last)


def test_the_simplest_rate_that_the_ticks_allow():
    assert frame_rate(stream_of(), packets([0, 33, 67, 100])) == 30
    assert frame_rate(stream_of(), packets([0, 80, 160, 240])) == Fraction(25, 2)


def test_a_rate_without_time_stamps():
    assert frame_rate(stream_of(Fraction(24)), packets([None, None])) == 24
    assert frame_rate(stream_of(), packets([0])) is None
    assert frame_rate(stream_of(), packets([7, 7, 7])) is None


@pytest.mark.parametrize(
    ("container", "stream", "expected"),
    [
        ("mov,mp4", stream_of(frames=250, duration=10_000), 250),
        ("mov,mp4", stream_of(frames=251, duration=10_000, start=7000), 251),
        ("mov,mp4", stream_of(frames=4, duration=10_000), 250),  # the first of several fragments
        ("mov,mp4", stream_of(frames=4), 250),
        ("matroska,webm", stream_of(), 250),
        ("matroska,webm", stream_of(start=2000), 200),
        ("mpegts", stream_of(start=2000), 250),
    ],
)
def test_frames_to_expect(container, stream, expected):
    file = SimpleNamespace(format=SimpleNamespace(name=container), duration=10_000_000)
    assert expected_frames(file, stream, Fraction(25)) == expected


def test_nothing_tells_how_many_frames_to_expect():
    file = SimpleNamespace(format=SimpleNamespace(name="matroska,webm"), duration=None)
    assert expected_frames(file, stream_of(), Fraction(25)) is None
    assert expected_frames(file, stream_of(), None) is None


def write_streams(path, sizes):
    """One video stream of each size, five frames of noise."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        streams = []
        for height, width in sizes:
            stream = container.add_stream("mpeg4", rate=25)
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
            streams.append(stream)
        for index in range(5):
            for stream in streams:
                image = rng.integers(0, 255, (stream.height, stream.width, 3), dtype=np.uint8)
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = index, Fraction(1, 25)
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    return path


def test_of_two_equal_video_streams_the_richer_is_read_and_told(tmp_path):
    path = write_streams(tmp_path / "clip.mov", [(32, 48), (64, 96)])
    data = bytearray(path.read_bytes())
    second = data.index(b"tkhd", data.index(b"tkhd") + 1)
    data[second + 7] |= 1  # enabled, as FFmpeg leaves the first alone
    path.write_bytes(data)
    with VideoSource(path) as source:
        assert source.size_hw == (64, 96)
        assert source.facts["stream"] == "1, mpeg4, the best of 2 video streams"
        assert len(list(source)) == 5


def test_of_two_video_streams_the_one_marked_as_default_is_read(tmp_path):
    with VideoSource(write_streams(tmp_path / "clip.mov", [(32, 48), (64, 96)])) as source:
        assert source.size_hw == (32, 48)
        assert source.facts["stream"] == "0, mpeg4, the best of 2 video streams"


def test_a_song_with_a_cover_is_no_video(tmp_path):
    path = tmp_path / "song.mka"
    with av.open(str(path), "w", format="matroska") as container:
        junk = container.add_stream("pcm_s16le", rate=8000)
        cover = (
            container.add_attachment("cover.png", "image/png", _png())
            if hasattr(container, "add_attachment")
            else pytest.skip("this PyAV writes no attachments")
        )
        assert cover is not None
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.rate = 8000
        container.mux(junk.encode(frame))
        container.mux(junk.encode(None))
    with pytest.raises(MediaError, match=r"it holds .*audio.*, but no pictures but a cover"):
        VideoSource(path)


def _png():
    import cv2

    return cv2.imencode(".png", np.full((8, 8, 3), 90, np.uint8))[1].tobytes()


def test_words_in_another_coding_are_no_fault(tmp_path, draw, encode):
    """As of a Latin-1 title in an AVI file."""
    path = tmp_path / "clip.avi"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Strasse@@"
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(draw(0, height=32, width=48), format="rgb24")))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    assert data.count(b"Strasse@@") == 1
    path.write_bytes(data.replace(b"Strasse@@", b"Stra\xdfe\xe4\xf6\xfc"))
    with VideoSource(path) as source:
        assert len(list(source)) == 1


def test_a_pyav_that_gets_colours_wrong_is_refused(tmp_path, draw, encode, monkeypatch):
    path = encode(tmp_path / "clip.mp4", [draw(0)])
    monkeypatch.setattr(av, "__version__", "16.1.0")
    with pytest.raises(
        MediaError, match=r"PyAV 16\.1\.0 takes .* expected 17 or later: pip install 'av>=17'"
    ):
        VideoSource(path)
    setup = (Path(__file__).parents[3] / "setup.cfg").read_text()
    assert "\n    av>=17\n" in setup


def avi(path, pictures, *, empty, index, junk=False):
    """Motion JPEG, each chunk in the order given; `empty` chunks without a byte behind them."""

    def chunk(name, data):
        return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)

    height, width = cv2.imdecode(np.frombuffer(pictures[0], np.uint8), cv2.IMREAD_COLOR).shape[:2]
    count = len(pictures) + empty
    main = struct.pack("<14I", 40_000, 0, 0, 16, count, 0, 1, 1 << 16, width, height, 0, 0, 0, 0)
    head = struct.pack("<8sIHHIIIIIIII8x", b"vidsMJPG", 0, 0, 0, 0, 1, 25, 0, count, 1 << 16, 0, 0)
    form = struct.pack("<IiiHH4s5I", 40, width, height, 1, 24, b"MJPG", 0, 0, 0, 0, 0)
    header = b"hdrl" + chunk(b"avih", main)
    header += chunk(b"LIST", b"strl" + chunk(b"strh", head) + chunk(b"strf", form))
    content, places = b"movi", b""
    for data in [*pictures, *[b""] * empty]:
        places += struct.pack("<4sIII", b"00dc", 16, len(content), len(data))
        content += chunk(b"00dc", data) + (chunk(b"JUNK", bytes(7)) if junk else b"")
    body = b"AVI " + chunk(b"LIST", header) + chunk(b"LIST", content) + (chunk(b"idx1", places) * index)
    path.write_bytes(chunk(b"RIFF", body))
    return path


@pytest.mark.parametrize("junk", [False, True])
@pytest.mark.parametrize("index", [False, True])
def test_frames_that_an_avi_dropped_at_its_end_are_no_cut(tmp_path, draw, index, junk):
    """As capture programs do: a chunk without a byte says that the picture stays."""
    pictures = [cv2.imencode(".jpg", draw(i))[1].tobytes() for i in range(12)]
    path = avi(tmp_path / "a.avi", pictures, empty=20, index=index, junk=junk)
    with VideoSource(path) as source:
        assert len(list(source)) == 12
    data = path.read_bytes()
    # Cut before the last of the pictures, and among the empty ones.
    last = data.index(pictures[11])
    for place in (last - 8, last + len(pictures[11]) + 41):
        path.write_bytes(data[:place])
        with VideoSource(path) as source, pytest.raises(MediaError, match="cut short"):
            list(source)
