"""Damaged videos: what is counted, what is given, and that the rest goes on."""

from fractions import Fraction

import av
import numpy as np
import pytest

from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.damage import OnDamage
from tdnet_runtime.media.video import VideoSource

FRAMES, GROUP, SIZE_HW = 40, 10, (96, 128)
HIT = 15  # the packet that is damaged, in the file's order


def picture(index):
    image = np.empty((*SIZE_HW, 3), np.uint8)
    image[..., 0] = np.linspace(20, 120, SIZE_HW[1])
    image[..., 1] = np.linspace(20, 120, SIZE_HW[0])[:, None]
    image[..., 2] = 60
    noise = np.random.default_rng(index).integers(0, 255, (30, 30, 3), dtype=np.uint8)
    image[10:40, 3 * index % 98 :][:, :30] = noise
    return image


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """clip(codec, suffix): a whole clip of 40 frames with a keyframe at every tenth, made once."""
    folder = tmp_path_factory.mktemp("clips")

    def make(codec, suffix):
        path = folder / f"{codec}.{suffix}"
        if path.exists():
            return path
        options = {
            "libx265": {"x265-params": "log-level=none:bframes=0"},
            "libx264": {"x264-params": "scenecut=0:bframes=0"},  # packets in the order of their frames
        }.get(codec, {})
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25, options=options)
            stream.height, stream.width = SIZE_HW
            stream.pix_fmt = {"mjpeg": "yuvj420p", "png": "rgb24"}.get(codec, "yuv420p")
            stream.gop_size = GROUP
            for index in range(FRAMES):
                frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
                frame.pts, frame.time_base = index, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return make


def packets_of(path):
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def hit(path, out, spoil, *, packet=HIT):
    """A copy of `path` with one packet's bytes spoilt in place by `spoil(bytearray)`."""
    data, target = path.read_bytes(), packets_of(path)[packet]
    assert data.count(target) == 1
    spoilt = bytearray(target)
    spoil(spoilt)
    assert len(spoilt) == len(target)
    out.write_bytes(data.replace(target, bytes(spoilt)))
    return out


def flip_eight(data):
    place = 3 * len(data) // 4
    for offset in range(0, 24, 3):
        data[place + offset] ^= 0x55


def ones(data):
    place = 3 * len(data) // 4
    data[place : place + 16] = b"\xff" * len(data[place : place + 16])


def end_missing(data):
    place = len(data) // 2
    data[place:] = bytes(len(data) - place)


def all_zero(data):
    data[:] = bytes(len(data))


def read(path, on_damage=OnDamage.SKIP):
    """Names, pictures, the damage log, and the error that ended it."""
    with VideoSource(path, on_damage=on_damage) as source:
        frames, message = [], None
        try:
            frames.extend(source)
        except MediaError as error:
            message = str(error)
        return [frame.name for frame in frames], frames, source.damage, message


def names(missing=()):
    return [f"{index:06d}" for index in range(FRAMES) if index not in missing]


CODECS = [
    ("mjpeg", "avi"),
    ("mjpeg", "mkv"),
    ("mpeg4", "avi"),
    ("libx264", "mp4"),
    ("ffv1", "mkv"),
    ("png", "mov"),
]


@pytest.mark.parametrize(("codec", "suffix"), [*CODECS, ("libx265", "mp4"), ("libvpx-vp9", "webm")])
def test_a_whole_clip_has_no_damage(clip, codec, suffix):
    for policy in OnDamage:
        found, frames, damage, message = read(clip(codec, suffix), policy)
        assert (found, damage.skipped, damage.used, message) == (names(), 0, 0, None)
        assert np.all(np.diff([frame.stamp_ns for frame in frames]) > 0)


@pytest.mark.parametrize("spoil", [flip_eight, ones, end_missing])
@pytest.mark.parametrize(("codec", "suffix"), CODECS)
def test_a_damaged_frame_is_left_out_and_the_rest_goes_on(tmp_path, clip, codec, suffix, spoil):
    path = hit(clip(codec, suffix), tmp_path / f"clip.{suffix}", spoil)
    found, frames, damage, message = read(path)
    assert (found, damage.skipped, damage.used, message) == (names(missing=[HIT]), 1, 0, None)
    assert damage.examples[0].startswith(f"frame {HIT} is ")
    assert "\n" not in damage.examples[0]
    whole = {frame.name: frame.image for frame in read(clip(codec, suffix))[1]}
    if codec in ("mjpeg", "png"):  # frames that need no others are as they were, all of them
        assert all(np.array_equal(frame.image, whole[frame.name]) for frame in frames)
    for frame in (*frames[:HIT], *frames[-GROUP:]):
        assert np.array_equal(frame.image, whole[frame.name])
    assert {frame.stamp_ns for frame in frames} == {round(int(name) * 1e9 / 25) for name in found}


@pytest.mark.parametrize(("codec", "suffix"), CODECS)
def test_a_damaged_frame_ends_reading_where_that_is_asked(tmp_path, clip, codec, suffix):
    path = hit(clip(codec, suffix), tmp_path / f"clip.{suffix}", end_missing)
    found, _, damage, message = read(path, OnDamage.FAIL)
    assert found == names()[:HIT]
    assert (damage.skipped, damage.used) == (0, 0)
    assert message.startswith(f"reading the video stopped after {HIT} frames: frame {HIT} is ")
    assert message.endswith(f": '{path}'")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("codec", "suffix"), [("mjpeg", "avi"), ("mpeg4", "avi"), ("libx264", "mp4"), ("ffv1", "mkv")]
)
def test_a_damaged_frame_is_used_where_that_is_asked(tmp_path, clip, codec, suffix):
    path = hit(clip(codec, suffix), tmp_path / f"clip.{suffix}", end_missing)
    found, frames, damage, message = read(path, OnDamage.USE)
    assert (found, damage.skipped, damage.used, message) == (names(), 0, 1, None)
    whole = read(clip(codec, suffix))[1]
    assert not np.array_equal(frames[HIT].image, whole[HIT].image)


@pytest.mark.parametrize("policy", [OnDamage.SKIP, OnDamage.USE])
@pytest.mark.parametrize(
    ("codec", "suffix"),  # FFV1's decoder takes zeros for a picture that repeats the last
    [*(pair for pair in CODECS if pair[0] != "ffv1"), ("libvpx-vp9", "webm")],
)
def test_a_packet_that_gives_no_picture_does_not_end_the_recording(tmp_path, clip, codec, suffix, policy):
    path = hit(clip(codec, suffix), tmp_path / f"clip.{suffix}", all_zero)
    found, _, damage, message = read(path, policy)
    assert (found, damage.skipped, damage.used, message) == (names(missing=[HIT]), 1, 0, None)
    assert damage.examples == [damage.examples[0]]
    assert damage.examples[0].startswith(f"frame {HIT} is lost (")


@pytest.mark.parametrize(
    ("codec", "suffix"), [("libx264", "mp4"), ("libx265", "mp4"), ("libvpx-vp9", "webm")]
)
def test_all_frames_that_need_a_lost_keyframe_are_counted(tmp_path, clip, codec, suffix):
    path = hit(clip(codec, suffix), tmp_path / f"clip.{suffix}", all_zero, packet=0)
    found, frames, damage, message = read(path)
    assert message is None
    assert len(found) + damage.skipped == FRAMES
    assert 8 <= damage.skipped <= GROUP  # encoders place the second keyframe at nine or ten
    assert found == names()[damage.skipped :]
    whole = read(clip(codec, suffix))[1]
    assert np.array_equal(frames[0].image, whole[damage.skipped].image)


def test_frames_that_are_stored_in_another_order(tmp_path):
    """With B-frames: what is damaged is named and left out by its place in time."""
    path = tmp_path / "whole.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=25, options={"x264-params": "bframes=3:b-adapt=0:scenecut=0"}
        )
        stream.height, stream.width = SIZE_HW
        stream.pix_fmt = "yuv420p"
        for index in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        times = [packet.pts * packet.time_base for packet in container.demux(video=0) if packet.size]
    place = int(times[HIT] * 25)
    assert place != HIT
    found, _, damage, message = read(hit(path, tmp_path / "clip.mp4", end_missing))
    assert message is None
    assert len(found) + damage.skipped == FRAMES
    assert f"{place:06d}" not in found
    assert damage.examples[0].startswith(f"frame {min(set(range(FRAMES)) - set(map(int, found)))} is ")


@pytest.mark.parametrize("spoil", [all_zero, end_missing])
@pytest.mark.parametrize("packet", [3, 15, 28])
def test_frames_stored_in_another_order_without_times_are_counted_right(tmp_path, packet, spoil):
    """H.264 with B-frames in AVI: numbers may be late, counts are not."""
    path = tmp_path / "whole.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=25, options={"x264-params": "bframes=3:b-adapt=0:scenecut=0"}
        )
        stream.height, stream.width = SIZE_HW
        stream.pix_fmt, stream.gop_size = "yuv420p", GROUP
        for index in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    for policy in OnDamage:
        assert read(path, policy)[2].skipped == 0
    found, _, damage, message = read(hit(path, tmp_path / "clip.avi", spoil, packet=packet))
    assert message is None
    assert 1 <= damage.skipped <= GROUP
    assert len(found) + damage.skipped == FRAMES
    assert len(set(found)) == len(found)


def test_the_same_fault_twice_counts_twice(tmp_path, clip):
    first = hit(clip("mjpeg", "avi"), tmp_path / "first.avi", end_missing, packet=3)
    path = hit(first, tmp_path / "second.avi", end_missing, packet=4)
    found, _, damage, _ = read(path)
    assert (found, damage.skipped) == (names(missing=[3, 4]), 2)


def test_images_of_a_camera_that_never_marks_their_end_are_whole(tmp_path, clip):
    data = clip("mjpeg", "avi").read_bytes()
    for packet in packets_of(clip("mjpeg", "avi")):
        assert packet.endswith(b"\xff\xd9")
        data = data.replace(packet, packet[:-2] + b"\0\0")
    path = tmp_path / "clip.avi"
    path.write_bytes(data)
    found, _, damage, message = read(path)
    assert (found, damage.skipped, message) == (names(), 0, None)


def test_damage_in_the_first_and_the_last_frame(tmp_path, clip):
    first = hit(clip("mjpeg", "avi"), tmp_path / "first.avi", end_missing, packet=0)
    path = hit(first, tmp_path / "both.avi", all_zero, packet=FRAMES - 1)
    found, _, damage, message = read(path)
    assert (found, damage.skipped, message) == (names(missing=[0, FRAMES - 1]), 2, None)


def test_nothing_but_damage_is_an_error_that_says_what(tmp_path, clip):
    path = tmp_path / "clip.avi"
    data = clip("mjpeg", "avi").read_bytes()
    for packet in packets_of(clip("mjpeg", "avi")):
        data = data.replace(packet, bytes(len(packet)))
    path.write_bytes(data)
    with pytest.raises(MediaError, match=r"not a single frame in it \(frame 0 is lost \(No JPEG data"):
        VideoSource(path)


def transport_packets(data):
    assert len(data) % 188 == 0
    return [data[place : place + 188] for place in range(0, len(data), 188)]


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_lost_transport_packet_is_told_by_the_container(tmp_path, clip, codec, share):
    """A network or a disk that drops what it carries; TS packets are counted from 0 to 15 in turns."""
    packets = transport_packets(clip(codec, "ts").read_bytes())
    begins = [place for place, packet in enumerate(packets) if packet[1:3] == b"\x41\x00"]
    continued = [place for place, packet in enumerate(packets) if packet[1:3] == b"\x01\x00"]
    lost = continued[int(share * len(continued))]
    damaged = sum(place < lost for place in begins) - 1
    path = tmp_path / "clip.ts"
    path.write_bytes(b"".join(packets[:lost] + packets[lost + 1 :]))
    found, _, damage, message = read(path)
    assert (found, damage.skipped, message) == (names(missing=[damaged]), 1, None)
    assert damage.examples[0].startswith(f"frame {damaged} is damaged (")


def test_frames_that_a_transport_stream_lost_as_a_whole_are_counted(tmp_path, clip):
    packets = transport_packets(clip("mpeg2video", "ts").read_bytes())
    begins = [place for place, packet in enumerate(packets) if packet[1:3] == b"\x41\x00"]
    hole = range(begins[HIT] + 1, begins[HIT + 5])
    path = tmp_path / "clip.ts"
    path.write_bytes(b"".join(packet for place, packet in enumerate(packets) if place not in hole))
    found, _, damage, message = read(path)
    assert (found, damage.skipped, message) == (names(missing=range(HIT, HIT + 5)), 5, None)


def test_a_gap_between_joined_transport_streams_is_no_loss(tmp_path, clip):
    """Their counts do not fit, nor do their times."""
    data = clip("mpeg2video", "ts").read_bytes()
    path = tmp_path / "clip.ts"
    path.write_bytes(data + data)
    found, _, damage, message = read(path)
    assert message is None
    assert len(found) + damage.skipped == 2 * FRAMES
    assert damage.skipped <= 1


def test_a_transport_stream_that_begins_in_mid_group(tmp_path, clip):
    """As a recorder that is switched on: what comes before the first keyframe is no frame of the file."""
    data = clip("mpeg2video", "ts").read_bytes()
    packets = transport_packets(data)
    path = tmp_path / "clip.ts"
    path.write_bytes(b"".join(packets[:3] + packets[len(packets) // 3 :]))
    found, _, damage, message = read(path)
    assert message is None
    assert 20 <= len(found) <= 35
    assert found == [f"{damage.skipped + index:06d}" for index in range(len(found))]


def without_packet(path, out, place):
    """The clip as a recorder writes it that lost a packet on the way."""
    with av.open(str(path)) as source, av.open(str(out), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for index, packet in enumerate(source.demux(video=0)):
            if packet.size and index != place:
                packet.stream = stream
                container.mux(packet)
    return out


@pytest.mark.parametrize("place", [11, 15, 17, 25])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_an_h264_picture_whose_reference_was_lost_is_damaged(tmp_path, clip, suffix, place):
    """FFmpeg (8.0) decodes it without a word. The packet is no part of this file, so it has no number."""
    path = without_packet(clip("libx264", "mp4"), tmp_path / f"clip.{suffix}", place)
    found, frames, damage, message = read(path)
    assert message is None
    assert damage.examples == [f"frame {place} is damaged (pictures before it are missing)"]
    assert found == [f"{index:06d}" for index in range(FRAMES - 1) if index != place]
    assert damage.skipped == 1
    gap_s = max(np.diff([frame.stamp_ns for frame in frames])) / 1e9
    assert gap_s == pytest.approx(3 / 25, abs=2e-3)  # the lost one and the one that is left out


def test_a_lost_h264_keyframe(tmp_path, clip):
    path = without_packet(clip("libx264", "mp4"), tmp_path / "clip.mp4", 20)
    with av.open(str(clip("libx264", "mp4"))) as container:
        assert [packet.is_keyframe for packet in container.demux(video=0)][20]
    found, frames, damage, message = read(path)
    assert message is None
    assert damage.skipped >= 1
    assert len(found) + damage.skipped == FRAMES - 1
    whole = read(clip("libx264", "mp4"))[1]
    assert np.array_equal(frames[-GROUP].image, whole[-GROUP].image)


def test_a_lost_packet_that_no_other_needs_is_a_gap_in_time_alone(tmp_path, clip):
    path = without_packet(clip("mjpeg", "avi"), tmp_path / "clip.mkv", 15)
    with VideoSource(path) as source:
        assert len(list(source)) == FRAMES - 1
        assert source.damage.skipped == 0
        assert source.facts["shortest_step_s"] == pytest.approx(0.04, abs=2e-3)
        assert source.facts["longest_step_s"] == pytest.approx(0.08, abs=2e-3)


def test_cut_short_in_a_frame(tmp_path, clip):
    with (
        av.open(str(clip("libx264", "mp4"))) as source,
        av.open(str(tmp_path / "front.mp4"), "w", options={"movflags": "faststart"}) as container,
    ):
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    whole = (tmp_path / "front.mp4").read_bytes()
    path = tmp_path / "clip.mp4"
    path.write_bytes(whole[: whole.index(packets_of(tmp_path / "front.mp4")[20]) + 40])
    found, _, damage, message = read(path)
    assert "cut short" in message
    assert f"after {len(found)} frames" in message
    assert 17 <= len(found) <= 20
    assert damage.skipped <= 1


def test_damage_is_found_whatever_threads_the_decoder_could_have(tmp_path, clip):
    """With threads for slices FFmpeg gave such frames for good, or said so on a thread that nobody listened to."""
    path = clip("libx264", "mp4")
    length = len(packets_of(path)[HIT])
    for place in range(length // 4, length - 40, length // 12):

        def spoil(data, place=place):
            data[place : place + 40] = b"\xff" * 40

        damaged = hit(path, tmp_path / "damaged.mp4", spoil)
        for _ in range(3):
            found, _, damage, _ = read(damaged)
            assert (found, damage.skipped) == (names(missing=[HIT]), 1)


def test_frames_that_a_damaged_matroska_file_has_no_packets_of_are_counted(tmp_path, clip):
    """FFmpeg passes over the rest of the cluster, which it tells in its log alone."""
    path = clip("libx264", "mkv")
    data = bytearray(path.read_bytes())
    place = data.index(packets_of(path)[HIT])
    data[place - 8 : place] = bytes(8)  # the block's header
    damaged = tmp_path / "damaged.mkv"
    damaged.write_bytes(data)
    found, _, damage, message = read(damaged)
    assert (found, damage.skipped, message) == (names(missing=range(HIT, HIT + 5)), 5, None)
    assert "frame 15 is lost (0x00 at pos" in damage.examples[0]
    assert "after 15 frames: frame 15 is lost" in read(damaged, OnDamage.FAIL)[3]


def test_a_matroska_file_without_its_last_frames(tmp_path, clip):
    """Fewer than headers may be wrong by; but here the reader says that the file ends early."""
    path = clip("mjpeg", "mkv")
    data = path.read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(data[: data.index(packets_of(path)[FRAMES - 3]) + 20])
    found, _, _, message = read(cut)
    assert found == names()[:-3]
    assert "after 37 frames: the file is cut short, 0.1 s before the end" in message
