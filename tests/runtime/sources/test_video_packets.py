"""Videos that come as messages: where they begin, what is missing, what is damaged, in each codec and wire form."""

import struct
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import av
import numpy as np
import pytest
from tests.runtime.sources.logs import STEP, S, packets, picture, write_mcap

from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.damage import OnDamage
from tdnet_runtime.sources.registry import open_source
from tdnet_runtime.sources.video_packets import VideoPackets

GOP = 5
X264 = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "scenecut=0"}
X265 = {
    "preset": "ultrafast",
    "tune": "zerolatency",
    "x265-params": "log-level=none:scenecut=0:keyint=5:min-keyint=5",
}
CODECS = {
    "h264": ("libx264", X264),
    "h265": ("libx265", X265),
    "vp9": ("libvpx-vp9", {"lag-in-frames": "0", "deadline": "realtime", "cpu-used": "8"}),
    "av1": ("libsvtav1", {"preset": "12", "svtav1-params": "pred-struct=1:lookahead=0:scd=0"}),
}
MADE = {}


def video(format, count=20):
    """Packets of `count` frames, a key frame every fifth, as (is a key frame, bytes); made once."""
    if format not in MADE:
        codec, options = CODECS[format]
        # In a thread that ends: SVT-AV1 makes the one that opens it real-time where it may, and what that one starts.
        with ThreadPoolExecutor(1) as pool:
            MADE[format] = pool.submit(packets, codec, 20, gop=GOP, options=options).result()
    return MADE[format][:count]


def text(value):
    return struct.pack("<I", len(value) + 1) + value.encode() + b"\0"


def cdr(stamp, data, *, format="h264"):
    """A foxglove_msgs/msg/CompressedVideo."""
    body = struct.pack("<iI", *divmod(stamp, S)) + text("cam")
    body += bytes(-len(body) % 4) + struct.pack("<I", len(data)) + data
    return b"\0\1\0\0" + body + bytes(-len(body) % 4) + text(format)


def protobuf(stamp, data, *, format="h264"):
    foxglove = pytest.importorskip("foxglove.messages", reason="foxglove-sdk is not installed")
    seconds, nanoseconds = divmod(stamp, S)
    return foxglove.CompressedVideo(
        timestamp=foxglove.Timestamp(sec=seconds, nsec=nanoseconds), frame_id="cam", data=data, format=format
    ).encode()


def log(path, messages, *, format="h264", form="cdr", numbers=False):
    """Messages as (frame's index, bytes)."""
    make = cdr if form == "cdr" else protobuf
    name = "foxglove_msgs/msg/CompressedVideo" if form == "cdr" else "foxglove.CompressedVideo"
    content = [
        (S + i * STEP, make(S + i * STEP, data, format=format), *((i,) if numbers else ()))
        for i, data in messages
    ]
    return write_mcap(path, {"/video": (name, form, content)})


def indexed(chosen):
    return [(i, data) for i, (_, data) in enumerate(chosen)]


def read(path, **options):
    with open_source(path, **options) as source:
        frames = list(source)
    return frames, source


def numbers(frames):
    return [round((frame.stamp_ns - S) / STEP) for frame in frames]


@pytest.mark.parametrize("form", ["cdr", "protobuf"])
@pytest.mark.parametrize("format", CODECS)
def test_a_whole_video(tmp_path, format, form):
    frames, source = read(log(tmp_path / "a.mcap", indexed(video(format)), format=format, form=form))
    assert numbers(frames) == list(range(20))
    assert [frame.name for frame in frames] == [f"{i:06d}" for i in range(20)]
    assert source.damage.skipped == 0
    assert {frame.frame_id for frame in frames} == {"cam"}
    assert not any(frame.begins or frame.lost_before for frame in frames)
    error = np.abs(frames[7].image.astype(int) - picture(7, height=48, width=64))
    assert np.median(error) < 8  # the codec's
    assert source.facts["color_matrix"].startswith("BT.601")


def test_ten_bits(tmp_path):
    made = packets("libx265", 4, options=X265, pix_fmt="yuv420p10le")
    frames, source = read(log(tmp_path / "a.mcap", indexed(made), format="h265"))
    assert len(frames) == 4
    assert source.facts["pixel_format"] == "yuv420p10le"
    assert np.median(np.abs(frames[2].image.astype(int) - picture(2, height=48, width=64))) < 8


@pytest.mark.parametrize("format", CODECS)
def test_it_begins_with_a_key_frame(tmp_path, format):
    frames, source = read(log(tmp_path / "a.mcap", indexed(video(format))[2:], format=format))
    assert numbers(frames) == list(range(5, 20))
    assert frames[0].name == "000003"  # of the messages that are there
    assert source.damage.skipped == 0
    assert frames[0].lost_before == 0


def test_no_key_frame_at_all(tmp_path):
    path = log(tmp_path / "a.mcap", indexed(video("h264"))[1:4])
    with pytest.raises(MediaError, match="no key frame in it, without which its video cannot be decoded"):
        open_source(path)


@pytest.mark.parametrize("format", ["h264", "h265"])
@pytest.mark.parametrize("gone", [2, 7, 13])
def test_after_a_lost_packet_it_goes_on_with_the_next_key_frame(tmp_path, format, gone):
    messages = [message for message in indexed(video(format)) if message[0] != gone]
    frames, source = read(log(tmp_path / "a.mcap", messages, format=format))
    following = gone // GOP * GOP + GOP
    assert numbers(frames) == [*range(gone), *range(following, 20)]
    first = frames[gone]
    assert first.begins
    assert first.lost_before >= following - gone - 1
    assert [frame.begins for frame in frames].count(True) == 1
    assert source.damage.skipped == following - gone - 1
    assert "missing" in source.damage.examples[0] or "ref" in source.damage.examples[0].lower()


@pytest.mark.parametrize("format", ["vp9", "av1"])
def test_codecs_that_tell_nothing_are_watched_by_their_stamps(tmp_path, format):
    messages = [message for message in indexed(video(format)) if message[0] != 12]
    frames, _ = read(log(tmp_path / "a.mcap", messages, format=format))
    assert numbers(frames) == [*range(12), *range(15, 20)]
    assert frames[12].begins


def test_senders_numbers_tell_it_where_stamps_do_not(tmp_path):
    """As of a camera whose rate varies."""
    messages = [message for message in indexed(video("vp9")) if message[0] != 11]
    content = [(S + i * i * STEP, cdr(S + i * i * STEP, data, format="vp9"), i) for i, data in messages]
    path = write_mcap(tmp_path / "a.mcap", {"/v": ("foxglove_msgs/msg/CompressedVideo", "cdr", content)})
    frames, _ = read(path)
    assert len(frames) == 11 + 5
    assert frames[11].begins


def test_a_varying_rate_is_no_loss(tmp_path):
    content = [(S + i * STEP + (i > 9) * (i - 9) * 3 * STEP, data) for i, data in indexed(video("h264"))]
    content = [(time, cdr(time, data)) for time, data in content]
    path = write_mcap(tmp_path / "a.mcap", {"/v": ("foxglove_msgs/msg/CompressedVideo", "cdr", content)})
    frames, source = read(path)
    assert len(frames) == 20
    assert not any(frame.begins for frame in frames)
    assert source.damage.skipped == 0


def test_damaged_packets(tmp_path):
    messages = indexed(video("h264"))
    number, data = messages[6]
    messages[6] = number, data[: len(data) // 3]
    frames, source = read(log(tmp_path / "a.mcap", messages))
    assert numbers(frames) == [*range(6), *range(10, 20)]
    assert frames[6].begins
    assert source.damage.skipped == 4
    with pytest.raises(MediaError, match="message 6 of '/video'"):
        read(tmp_path / "a.mcap", on_damage=OnDamage.FAIL)
    frames, source = read(tmp_path / "a.mcap", on_damage=OnDamage.USE)
    assert numbers(frames)[-13:] == list(range(7, 20))
    assert source.damage.used + source.damage.skipped >= 1


def with_an_empty_one(format, at, *, replaces):
    """The messages of a video, of which one is empty: in place of a frame, or between two."""
    messages = indexed(video(format))
    if replaces:
        messages[at] = at, b""
        return messages
    return [*messages[:at], (at, b""), *((i + 1, data) for i, data in messages[at:])]


@pytest.mark.parametrize("form", ["cdr", "protobuf"])
@pytest.mark.parametrize("format", ["h264", "h265"])
def test_an_empty_message_between_two(tmp_path, format, form):
    """As of an encoder that left a picture out: nothing is predicted from it."""
    path = log(tmp_path / "a.mcap", with_an_empty_one(format, 7, replaces=False), format=format, form=form)
    frames, source = read(path)
    assert numbers(frames) == [*range(7), *range(8, 21)]
    assert [frame.lost_before for frame in frames] == [0] * 7 + [1] + [0] * 12
    assert not any(frame.begins for frame in frames)
    assert source.damage.skipped == 1
    assert source.damage.examples[0].endswith("message 7 of '/video': it is empty")
    with pytest.raises(MediaError, match="message 7 of '/video': it is empty"):
        read(path, on_damage=OnDamage.FAIL)
    frames, source = read(path, on_damage=OnDamage.USE)
    assert len(frames) == 20
    assert source.damage.skipped == 1


@pytest.mark.parametrize("at", [6, 7, 8])
@pytest.mark.parametrize("format", CODECS)
def test_an_empty_message_in_place_of_a_frame(tmp_path, format, at):
    path = log(tmp_path / "a.mcap", with_an_empty_one(format, at, replaces=True), format=format)
    frames, source = read(path)
    assert numbers(frames) == [*range(at), *range(10, 20)]
    assert frames[at].begins
    assert source.damage.skipped == 10 - at
    frames, source = read(path, on_damage=OnDamage.USE)
    assert numbers(frames)[-10:] == list(range(10, 20))
    assert source.damage.skipped >= 1


@pytest.mark.parametrize("format", CODECS)
def test_several_empty_messages(tmp_path, format):
    """The first of all, two in a row, and one in place of a key frame."""
    messages = indexed(video(format))
    for at in (4, 10, 19):
        messages[at] = at, b""
    messages = [(0, b""), *((i + 1, data) for i, data in messages)]
    messages[5:5] = [(4.5, b"")]
    messages = [(i, data) for i, (_, data) in enumerate(messages)]
    frames, source = read(log(tmp_path / "a.mcap", messages, format=format))
    assert numbers(frames) == [*range(1, 5), *range(7, 12), *range(17, 21)]
    assert source.damage.skipped == 8


@pytest.mark.parametrize("format", CODECS)
def test_a_decoder_that_has_given_all_begins_anew(format):
    with VideoPackets(format) as decoder:
        for number, (_, data) in enumerate([*video(format, 4), (True, b""), *video(format, 4)]):
            if not data:
                decoder.flush()
                continue
            pictures = decoder.push(
                number, np.frombuffer(data, np.uint8), stamp_ns=number, missing=False, by_number=False
            )
            assert [(picture.number, picture.damage) for picture in pictures] == [(number, None)]


@pytest.mark.parametrize("format", ["h266", "mjpeg", ""])
def test_other_formats_are_named(tmp_path, format):
    path = log(tmp_path / "a.mcap", indexed(video("h264")), format=format)
    with pytest.raises(MediaError, match=f"its video is {format!r}; expected h264, h265, hevc, vp9, av1"):
        open_source(path)


@pytest.mark.parametrize("by_presentation", [False, True])
@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("h264", {"preset": "ultrafast", "x264-params": "bframes=2:b-adapt=0"}),
        ("h265", {"preset": "ultrafast", "x265-params": "log-level=none:bframes=2:b-adapt=0"}),
    ],
)
def test_b_frames_are_refused(tmp_path, format, options, by_presentation):
    """They come in another order than their messages, whose stamps they would get."""
    encoder = av.CodecContext.create(CODECS[format][0], "w")
    encoder.height, encoder.width, encoder.pix_fmt, encoder.options = 48, 64, "yuv420p", options
    encoder.time_base, encoder.framerate = Fraction(1, 10), Fraction(10)
    made = []
    for index in range(12):
        frame = av.VideoFrame.from_ndarray(picture(index, height=48, width=64), format="rgb24")
        frame.pts = index
        made += encoder.encode(frame)
    made += encoder.encode(None)
    assert [packet.pts for packet in made] != list(range(12))
    content = [
        (S + i * STEP, cdr(S + (packet.pts if by_presentation else i) * STEP, bytes(packet), format=format))
        for i, packet in enumerate(made)
    ]
    path = write_mcap(tmp_path / "a.mcap", {"/v": ("foxglove_msgs/msg/CompressedVideo", "cdr", content)})
    with pytest.raises(MediaError, match=r"stopped after [0-3] frames: its video holds B-frames.*bframes=0"):
        read(path)


def test_packets_of_noise(tmp_path):
    noise = np.random.default_rng(0)
    for kind in (5, 7, 1):
        messages = [(i, b"\0\0\0\1" + bytes([kind]) + noise.bytes(300)) for i in range(12)]
        path = log(tmp_path / "a.mcap", messages)
        with pytest.raises(MediaError, match="opening the log: "):
            open_source(path)
