"""A video with a few labelled frames."""

from contextlib import suppress
from fractions import Fraction

import numpy as np
import pytest
from tests.data_sets.small import truth, write

pytest.importorskip("av")

import av
from tests.runtime.media.conftest import encode_video, picture

from tdnet_data import video_frames
from tdnet_data import video_length as lengths
from tdnet_data.checking import check_dataset
from tdnet_data.opening import open_dataset
from tdnet_data.settings import DataSettings
from tdnet_data.video_length import video_length
from tdnet_runtime.errors import DataError, MediaError
from tdnet_runtime.media.video import VideoSource

COUNT = 30
SIZE_HW = (36, 52)


def opened(root, **settings):
    return open_dataset(DataSettings(root=str(root), **settings), "train")


@pytest.fixture
def shown():
    """Frames, lossless in the video but for chroma of RGB."""
    return [picture(index) for index in range(COUNT)]


@pytest.fixture
def root(tmp_path, shown):
    (tmp_path / "images" / "train").mkdir(parents=True)
    encode_video(tmp_path / "images" / "train" / "drive.mkv", shown, codec="ffv1")
    for index in (4, 20):
        write(tmp_path / "labels" / "train" / "drive" / f"{index:06d}.png", truth(index, SIZE_HW))
    (tmp_path / "names.txt").write_text("road\nsky\ncar")
    return tmp_path


def test_labels_lie_on_their_frames_and_others_have_none(root, shown):
    dataset = opened(root)
    (sequence,) = dataset.sequences
    assert (sequence.name, len(sequence.frames), dataset.labelled) == ("drive", COUNT, ((0, 4), (0, 20)))
    assert [frame.name for frame in dataset.clip_frames(2)] == [
        f"drive/{index:06d}" for index in (2, 3, 4, 18, 19, 20)
    ]
    for index in (20, 4, 5, 29, 0):  # in any order
        image = dataset.image(sequence.frames[index])
        assert np.abs(image.astype(int) - shown[index]).max() <= 3
    np.testing.assert_array_equal(dataset.labels(sequence.frames[4]), truth(4, SIZE_HW))


def test_kept_frames_are_decoded_once(root, shown, monkeypatch):
    opens = []
    source = video_frames.VideoSource

    def counted(*args, **kwargs):
        opens.append(args)
        return source(*args, **kwargs)

    dataset = opened(root)
    plain = {frame.name: dataset.image(frame) for frame in dataset.clip_frames(2)}
    monkeypatch.setattr(video_frames, "VideoSource", counted)
    dataset.keep(2)
    for frame in reversed(dataset.clip_frames(2)):
        image = dataset.image(frame)
        np.testing.assert_array_equal(image, plain[frame.name])
        image[:] = 0  # the caller's own
        np.testing.assert_array_equal(dataset.image(frame), plain[frame.name])
    assert len(opens) == 1
    dataset.keep(1)
    assert len(opens) == 1
    dataset.keep(3)  # more of them
    assert len(opens) == 2


def test_one_video_with_its_labels_beside_it(root, shown):
    dataset = opened(
        root,
        images="images/train/drive.mkv",
        labels="labels/train/drive",
        names="cityscapes",
        size_hw=(18, 26),
    )
    assert dataset.labelled == ((0, 4), (0, 20))
    frame = dataset.sequences[0].frames[4]
    assert dataset.image(frame).shape == (18, 26, 3)
    assert dataset.labels(frame).shape == (18, 26)
    dataset.keep(1)
    assert dataset.image(frame).shape == (18, 26, 3)


TIMES_MS = {
    "slower": [min(33 * i, 33 * 20) + 100 * max(i - 20, 0) for i in range(COUNT)],
    "faster": [100 * i for i in range(20)] + [2000 + 33 * i for i in range(COUNT - 20)],
    "dropped": [40 * (i + 7 * (i > 11) + 3 * (i > 20)) for i in range(COUNT)],
    "even": [40 * i for i in range(COUNT)],
}


def encode_at(path, frames, times_ms, codec, coding=None, **options):
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.codec_context.options = coding or {}
        stream.pix_fmt = "yuv444p" if codec == "ffv1" else "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for image, time_ms in zip(frames, times_ms, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("times", TIMES_MS)
@pytest.mark.parametrize(("suffix", "codec"), [("mkv", "ffv1"), ("mp4", "mpeg4"), ("ts", "mpeg4")])
def test_frames_at_uneven_times_are_counted(root, shown, suffix, codec, times):
    """A header has their length alone, or the encoder fills in: what can be decoded counts."""
    videos = root / "images" / "train"
    (videos / "drive.mkv").unlink()
    encode_at(videos / f"drive.{suffix}", shown, TIMES_MS[times], codec)
    (sequence,) = opened(root).sequences
    with av.open(str(videos / f"drive.{suffix}")) as container:
        assert len(sequence.frames) == sum(1 for _ in container.decode(video=0))
    assert opened(root).image(sequence.frames[-1]).shape == (*SIZE_HW, 3)


@pytest.mark.parametrize(("suffix", "codec"), [("mkv", "ffv1"), ("mkv", "libx264"), ("mp4", "libx264")])
@pytest.mark.parametrize("times", TIMES_MS)
def test_frames_are_counted_without_decoding_where_packets_give_one_each(
    root, shown, suffix, codec, times, monkeypatch
):
    video = root / f"video.{suffix}"
    encode_at(video, shown, TIMES_MS[times], codec)
    monkeypatch.setattr(VideoSource, "__iter__", None)
    assert video_length(video) == COUNT


@pytest.mark.parametrize(
    "fragments", [None, "frag_keyframe", "frag_keyframe+empty_moov", "frag_keyframe+global_sidx"]
)
def test_the_index_of_an_mp4_is_counted_where_it_is_whole(root, shown, fragments, monkeypatch):
    video = root / "video.mp4"
    times = [40 * place for place in range(2 * COUNT)]
    encode_at(video, [*shown, *shown], times, "mpeg4", **({"movflags": fragments} if fragments else {}))
    read = []
    packets = lengths._packets
    monkeypatch.setattr(lengths, "_packets", lambda path: read.append(path) or packets(path))
    assert video_length(video) == 2 * COUNT
    assert bool(read) == ("sidx" in str(fragments))  # of the others FFmpeg finds all when it opens them


@pytest.mark.parametrize(
    ("codec", "coding"),
    [
        ("mpeg4", {}),
        ("libvpx", {}),
        ("libx264", {"x264-params": "tff=1"}),
        ("libx264", {"x264-params": "fake-interlaced=1"}),
    ],
)
def test_packets_that_may_give_no_frame_are_decoded(root, shown, codec, coding, monkeypatch):
    """By the codec, or as fields, two of which are a frame."""
    video = root / "video.mkv"
    encode_at(video, shown, TIMES_MS["dropped"], codec, coding)
    decoded = []
    frames = VideoSource.__iter__
    monkeypatch.setattr(VideoSource, "__iter__", lambda source: decoded.append(source) or frames(source))
    assert video_length(video) == COUNT
    assert decoded


@pytest.mark.parametrize("codec", ["ffv1", "libx264"])
def test_a_video_at_uneven_times_that_is_cut_short_has_more_than_can_be_read(root, shown, codec):
    video = root / "video.mkv"
    encode_at(video, shown, TIMES_MS["dropped"], codec)
    video.write_bytes(video.read_bytes()[: video.stat().st_size * 5 // 6])
    with av.open(str(video)) as container, suppress(av.error.FFmpegError):
        packets = sum(packet.size > 0 for packet in container.demux(video=0))
    assert video_length(video) > packets


def test_a_video_that_is_cut_short_does_not_just_end(root):
    """Its frames are fewer than its header says: that is told, also of one whose labels lie before."""
    video = root / "images" / "train" / "drive.mkv"
    video.write_bytes(video.read_bytes()[: video.stat().st_size * 5 // 6])
    dataset = opened(root)
    assert dataset.image(dataset.sequences[0].frames[20]).shape == (*SIZE_HW, 3)
    with pytest.raises(MediaError, match=r"cut short"):
        [dataset.image(frame) for frame in dataset.sequences[0].frames]


def test_labelled_frames_alone(root):
    dataset = opened(root, single_images=True)
    assert [sequence.name for sequence in dataset.sequences] == ["drive/000004", "drive/000020"]


def test_videos_in_natural_order(root):
    videos = root / "images" / "train"
    for name in ("drive_10", "drive_9"):
        (videos / f"{name}.mkv").write_bytes((videos / "drive.mkv").read_bytes())
    assert [sequence.name for sequence in opened(root).sequences] == ["drive", "drive_9", "drive_10"]


def test_videos_and_images_side_by_side(root):
    write(root / "images" / "train" / "walk" / "1.png", picture(0))
    write(root / "labels" / "train" / "walk" / "1.png", truth(0, SIZE_HW))
    dataset = opened(root)
    assert [sequence.name for sequence in dataset.sequences] == ["walk", "drive"]
    assert check_dataset(dataset, reach=2).problems == ()


def test_a_label_beyond_the_end_is_named(root):
    write(root / "labels" / "train" / "drive" / "000031.png", truth(0, SIZE_HW))
    (problem,) = check_dataset(opened(root)).problems
    assert "frame 31 was asked for, but the last of its 30 frames is 29" in problem
    assert problem.endswith("drive.mkv'")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("first", r"a label image of the video 'drive' is called 'first'; expected the index.*first.png'"),
        (
            "4",
            r"'000004.png' and '4.png' are both labels of frame 4 of the video 'drive'|'4.png' and '000004.png'",
        ),
    ],
)
def test_a_label_of_no_frame_is_named(root, name, message):
    write(root / "labels" / "train" / "drive" / f"{name}.png", truth(0, SIZE_HW))
    with pytest.raises(DataError, match=message):
        opened(root)


def test_what_is_no_video_is_named(root):
    (root / "images" / "train" / "drive.mkv").write_bytes(b"no video")
    with pytest.raises(MediaError, match=r"drive.mkv'"):
        opened(root)


def test_no_room_for_kept_frames_is_said(root, monkeypatch):
    monkeypatch.setattr(video_frames.os, "pwrite", lambda *_: 0)
    with pytest.raises(DataError, match=r"keeping a video's frames in .*: No space left.*; set TMPDIR"):
        opened(root).keep(0)
