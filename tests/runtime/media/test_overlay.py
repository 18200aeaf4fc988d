import errno
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from tests.guard import running

from tdnet_runtime.errors import MediaError
from tdnet_runtime.media import append_file
from tdnet_runtime.media.blend import blend, color_table
from tdnet_runtime.media.overlay import OverlayWriter
from tdnet_runtime.media.video import VideoSource

COLORS = [(200, 0, 0), (0, 160, 60), (20, 40, 220)]

WRITE = """
import resource, signal, sys, time
import numpy as np
from fractions import Fraction
from pathlib import Path
from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.frames import SourceFrame
from tdnet_runtime.media.overlay import OverlayWriter

path, limit, frames, pause_s = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
if limit:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
rng = np.random.default_rng(0)
labels = np.zeros((64, 96), np.uint8)
try:
    with OverlayWriter(path, size_hw=(64, 96), fps=Fraction(25), colors=[(0, 0, 0)]) as writer:
        for index in range(frames):
            image = rng.integers(0, 255, (64, 96, 3), dtype=np.uint8)
            writer.write(SourceFrame(image=image, name="", stamp_ns=0), labels)
            print(index, flush=True)
            time.sleep(pause_s)
except MediaError as error:
    print(error)
"""


def write(
    path,
    frames,
    *,
    fps=Fraction(25),
    stamps_ns=None,
    arrivals_ns=None,
    duration_ns=None,
    aspect=Fraction(1),
):
    from tdnet_runtime.media.frames import SourceFrame

    height, width = frames[0].shape[:2]
    labels = np.zeros((height, width), np.uint8)
    labels[:, width // 2 :] = 1
    with OverlayWriter(path, size_hw=(height, width), fps=fps, colors=COLORS) as writer:
        for index, image in enumerate(frames):
            stamp_ns = stamps_ns[index] if stamps_ns else 0
            frame = SourceFrame(
                image=image,
                name="",
                stamp_ns=stamp_ns,
                arrival_ns=arrivals_ns[index] if arrivals_ns else None,
                duration_ns=duration_ns,
                pixel_aspect=aspect,
            )
            writer.write(frame, labels)
    return labels


def read(path):
    with VideoSource(path) as source:
        return [frame.image for frame in source]


@pytest.mark.parametrize("size", [(34, 52), (35, 53), (1, 1)])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_blend_is_the_weighted_mean(draw, size, alpha):
    frame = draw(3, height=35, width=53)[: size[0], : size[1]].copy()
    labels = np.random.default_rng(1).integers(0, 3, size, dtype=np.uint8)
    before = frame.copy(), labels.copy()
    expected = (1 - alpha) * frame + alpha * np.array(COLORS)[labels]
    blended = blend(frame, labels, color_table(COLORS), alpha=alpha)
    assert np.abs(blended - expected).max() <= 0.5 + 1e-9
    assert np.array_equal(frame, before[0])
    assert np.array_equal(labels, before[1])


def test_blend_writes_into_a_part_of_a_larger_array(draw):
    canvas = np.zeros((40, 60, 3), np.uint8)
    labels = np.ones((36, 52), np.uint8)
    blend(draw(0), labels, color_table(COLORS), out=canvas[:36, :52])
    assert np.array_equal(canvas[:36, :52], blend(draw(0), labels, color_table(COLORS)))
    assert not canvas[36:].any()
    assert not canvas[:, 52:].any()


@pytest.mark.parametrize(("height", "width"), [(36, 52), (35, 53), (36, 53), (1, 1)])
def test_round_trip_padded_to_even_sides(tmp_path, draw, height, width):
    pictures = [draw(0, height=36, width=54)[:height, :width].copy() for _ in range(3)]
    labels = write(tmp_path / "out.mp4", pictures)
    frames = read(tmp_path / "out.mp4")
    assert len(frames) == 3
    assert frames[0].shape == (height + height % 2, width + width % 2, 3)
    expected = blend(pictures[0], labels, color_table(COLORS))
    expected = np.pad(expected, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    error = np.abs(frames[0].astype(int) - expected)
    # H.264 with the colours at half resolution: 1.8 as measured; BT.601 in place of BT.709 would give 6.
    assert error.mean() < 4
    assert error[:, -2:].mean() < 4


def test_plays_in_a_browser(tmp_path, draw):
    write(tmp_path / "out.mp4", [draw(i) for i in range(60)], fps=Fraction(30000, 1001))
    data = (tmp_path / "out.mp4").read_bytes()
    assert data[4:8] == b"ftyp"
    assert data.index(b"moov") < data.index(b"moof") < data.index(b"mdat")
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == Fraction(30000, 1001)
        assert stream.codec_context.colorspace == 1  # BT.709
        packets = [packet for packet in container.demux(stream) if packet.size]
        assert len(packets) == 60
        assert all(packet.pts == packet.dts for packet in packets)  # no B-frames
        keyframes = [float(packet.pts * packet.time_base) for packet in packets if packet.is_keyframe]
    assert np.diff([*keyframes, 2.0]).max() <= 1.05


def test_timed_by_stamps_without_a_rate(tmp_path, draw):
    stamps_ns = [7_000_000_000 + n for n in (0, 50_000_000, 250_000_000, 250_000_000, 1_500_000_000)]
    write(tmp_path / "out.mp4", [draw(i) for i in range(5)], fps=None, stamps_ns=stamps_ns)
    with VideoSource(tmp_path / "out.mp4") as source:
        times_ms = [round(frame.stamp_ns / 1e6) for frame in source]
    assert times_ms == [0, 50, 250, 250, 1500]  # the equal ones a tick apart


def samples(path):
    """Begin and end of each sample in seconds, and the stream's pixel aspect."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        spans = [
            (float(packet.pts * packet.time_base), float((packet.pts + packet.duration) * packet.time_base))
            for packet in container.demux(stream)
            if packet.size
        ]
        return spans, stream.sample_aspect_ratio


UNEVEN_MS = (0, 80, 180, 280, 360, 1290, 1390, 2400, 2433)


@pytest.mark.parametrize("fps", [Fraction(750000, 71393), Fraction(25), Fraction(1000), Fraction(1, 2), None])
def test_uneven_frames_keep_their_distances_whatever_the_rate(tmp_path, draw, fps):
    stamps_ns = [5_000_000_000 + 1_000_000 * ms for ms in UNEVEN_MS]
    pictures = [draw(i) for i in range(len(stamps_ns))]
    write(tmp_path / "out.mp4", pictures, fps=fps, stamps_ns=stamps_ns, duration_ns=70_000_000)
    spans, _ = samples(tmp_path / "out.mp4")
    expected = [ms / 1000 for ms in (*UNEVEN_MS, UNEVEN_MS[-1] + 70)]
    assert np.array([begin for begin, _ in spans]) == pytest.approx(expected[:-1], abs=2e-4)
    assert np.array([end for _, end in spans]) == pytest.approx(expected[1:], abs=2e-4)


def test_the_last_frame_of_no_known_duration_is_shown_as_long_as_the_one_before(tmp_path, draw):
    stamps_ns = [0, 100_000_000, 300_000_000]
    write(tmp_path / "out.mp4", [draw(i) for i in range(3)], fps=None, stamps_ns=stamps_ns)
    assert samples(tmp_path / "out.mp4")[0][-1] == pytest.approx((0.3, 0.5), abs=1e-4)
    write(tmp_path / "one.mp4", [draw(0)], fps=None)
    assert samples(tmp_path / "one.mp4")[0] == [pytest.approx((0.0, 0.04), abs=1e-4)]


@pytest.mark.parametrize(
    "fps",
    [Fraction(24000, 1001), Fraction(60000, 1001), Fraction(23040000, 767849), Fraction(2505000, 83831)],
)
def test_an_even_rate_stays_exact(tmp_path, draw, fps):
    stamps_ns = [round(index * 1e9 / fps) for index in range(30)]
    write(tmp_path / "out.mp4", [draw(i) for i in range(30)], fps=fps, stamps_ns=stamps_ns)
    spans, _ = samples(tmp_path / "out.mp4")
    assert np.array(spans)[:, 0] == pytest.approx([float(index / fps) for index in range(30)], abs=4e-4)
    assert spans[-1][1] == pytest.approx(float(30 / fps), abs=4e-4)


MS = 1_000_000
HOUR = 3600 * 1000 * MS


@pytest.mark.parametrize("jump_ns", [14 * HOUR, 1_700_000_000 * 1000 * MS, -660 * MS, -(10**18)])
def test_a_clock_that_is_set_costs_no_frame(tmp_path, draw, jump_ns):
    """Also where a log is played again: the frames behind it are as far apart as before."""
    stamps_ns = [10**18 + (i % 20) * 33 * MS + i // 20 * jump_ns for i in range(40)]
    stamps_ns = [stamp + (i // 20) * 660 * MS for i, stamp in enumerate(stamps_ns)]
    write(tmp_path / "out.mp4", [draw(i % 3) for i in range(40)], fps=None, stamps_ns=stamps_ns)
    begins = np.array([begin for begin, _ in samples(tmp_path / "out.mp4")[0]])
    steps = np.diff(begins)
    assert np.delete(steps, 19) == pytest.approx([0.033] * 38, abs=2e-4)
    assert steps[19] in (pytest.approx(0.04, abs=2e-4), pytest.approx(0.033, abs=2e-4))


def test_stamps_that_stand_still(tmp_path, draw):
    pictures = [draw(i % 3) for i in range(20)]
    write(tmp_path / "out.mp4", pictures, fps=None)
    begins = [begin for begin, _ in samples(tmp_path / "out.mp4")[0]]
    assert begins == pytest.approx([0.04 * i for i in range(20)], abs=1e-4)
    write(tmp_path / "live.mp4", pictures, fps=None, arrivals_ns=[10**12 + i * 100 * MS for i in range(20)])
    begins = [begin for begin, _ in samples(tmp_path / "live.mp4")[0]]
    assert begins == pytest.approx([0.1 * i for i in range(20)], abs=1e-4)


@pytest.mark.parametrize(
    "fps",
    [
        None,
        Fraction(24000, 1001),
        Fraction(750000, 71393),
        Fraction(23040000, 767849),
        Fraction(10**9 + 7, 5),
    ],
)
def test_a_long_pause_whatever_the_rate(tmp_path, draw, fps):
    stamps_ns = [0, 40 * MS, HOUR // 2, HOUR // 2 + 40 * MS]
    write(tmp_path / "out.mp4", [draw(i) for i in range(4)], fps=fps, stamps_ns=stamps_ns)
    begins = [begin for begin, _ in samples(tmp_path / "out.mp4")[0]]
    assert begins == pytest.approx([0, 0.04, 1800, 1800.04], abs=1e-4)


@pytest.mark.parametrize(("fps", "duration_ns"), [(Fraction(25), 90 * HOUR), (Fraction(1, 10**6), None)])
def test_a_frame_that_is_shown_for_days(tmp_path, draw, fps, duration_ns):
    """As damaged headers have it; an MP4 has no place for that."""
    write(tmp_path / "out.mp4", [draw(0)], fps=fps, duration_ns=duration_ns)
    ((begin, end),) = samples(tmp_path / "out.mp4")[0]
    assert begin == 0
    assert end >= 3000


def test_a_disk_that_tells_when_the_file_is_closed(tmp_path, draw, monkeypatch):
    """As network file systems do."""

    class Late:
        def __init__(self, file):
            self.write, self.file = file.write, file

        def close(self):
            self.file.close()
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    real = append_file.open_alone
    monkeypatch.setattr(append_file, "open_alone", lambda path: Late(real(path)))
    path = tmp_path / "out.mp4"
    with pytest.raises(MediaError, match="after 30 frames: Disk quota exceeded; the first 25 can be watched"):
        write(path, [draw(i % 3) for i in range(30)])
    assert len(read(path)) == 25


@pytest.mark.parametrize("aspect", [Fraction(1), Fraction(4, 3), Fraction(1137, 800), Fraction(10, 11)])
def test_pixels_keep_their_aspect(tmp_path, draw, aspect):
    write(tmp_path / "out.mp4", [draw(0)], aspect=aspect)
    assert samples(tmp_path / "out.mp4")[1] == aspect


def test_an_existing_file_stays_until_the_first_frame(tmp_path, draw):
    path = tmp_path / "out.mp4"
    path.write_text("of yesterday")
    with OverlayWriter(path, size_hw=(36, 52), fps=None, colors=COLORS):
        pass
    assert path.read_text() == "of yesterday"
    write(path, [draw(0)])
    assert len(read(path)) == 1


def test_a_finished_file_is_not_begun_again(tmp_path, draw, source_frame):
    writer = OverlayWriter(tmp_path / "out.mp4", size_hw=(36, 52), fps=None, colors=COLORS)
    labels = np.zeros((36, 52), np.uint8)
    writer.write(source_frame(draw(0)), labels)
    writer.close()
    writer.close()
    with pytest.raises(MediaError, match="it was finished before and takes no more"):
        writer.write(source_frame(draw(1)), labels)
    assert len(read(tmp_path / "out.mp4")) == 1


def test_an_error_outside_still_finishes_the_file(tmp_path, draw, source_frame):
    path = tmp_path / "out.mp4"

    def fail_after_seven_frames():
        with OverlayWriter(path, size_hw=(36, 52), fps=Fraction(25), colors=COLORS) as writer:
            for index in range(7):
                writer.write(source_frame(draw(index)), np.zeros((36, 52), np.uint8))
            raise RuntimeError("elsewhere")

    with pytest.raises(RuntimeError, match="elsewhere"):
        fail_after_seven_frames()
    assert len(read(path)) == 7
    assert path.stat().st_size > 1000


def test_readable_after_kill_9(tmp_path):
    path = tmp_path / "out.mp4"
    command = [sys.executable, "-c", WRITE, path, "0", "100000", "0.002"]
    with running(command, stdout=subprocess.PIPE, text=True) as child:
        for line in child.stdout:
            if int(line) >= 110:
                break
    with VideoSource(path) as source:
        frames = sum(1 for _ in source)  # without an error at the end
    assert frames >= 110 - 26


def test_slow_frames_are_flushed_by_the_clock(tmp_path):
    path = tmp_path / "out.mp4"
    command = [sys.executable, "-c", WRITE, path, "0", "100000", "0.3"]
    with running(command, stdout=subprocess.PIPE, text=True) as child:
        for line in child.stdout:
            if int(line) >= 6:
                break
    assert len(read(path)) >= 2


def test_a_full_disk_leaves_whole_fragments(tmp_path):
    path = tmp_path / "out.mp4"
    limit = 500_000
    command = [sys.executable, "-c", WRITE, str(path), str(limit), "300", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    message = done.stdout.splitlines()[-1]
    assert message.startswith("writing the overlay stopped after ")
    assert "File too large" in message
    frames = read(path)  # without an error at the end
    assert len(frames) >= 25
    assert f"the first {len(frames)} can be watched: '{path}'" in message
    assert limit // 3 < path.stat().st_size <= limit
    assert done.stderr == ""


@pytest.mark.parametrize("limit", [1, 500, 3000])
def test_a_disk_without_room_for_one_fragment_leaves_no_file(tmp_path, limit):
    """Ten frames make one fragment, so that it is closing the file that fails."""
    path = tmp_path / "out.mp4"
    command = [sys.executable, "-c", WRITE, str(path), str(limit), "10", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "File too large; the first 0 can be watched" in done.stdout
    assert not path.exists()
    assert done.stderr == ""


@pytest.mark.skipif(not os.access("/dev", os.W_OK), reason="only root may write in the folder of devices")
def test_no_space_left_on_a_device(draw):
    with pytest.raises(
        MediaError, match=r"writing the overlay stopped after .* frames: No space left on device"
    ):
        write(Path("/dev/full"), [draw(0)])
    assert Path("/dev/full").exists()


def test_an_output_that_cannot_be(tmp_path, monkeypatch):
    def writer(path):
        return OverlayWriter(path, size_hw=(36, 52), fps=None, colors=COLORS)

    with pytest.raises(MediaError, match=r"there is no folder '.*/absent'; make it first"):
        writer(tmp_path / "absent" / "out.mp4")
    with pytest.raises(MediaError, match="a folder has that name"):
        writer(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(MediaError, match=r"not a folder: '.*/file'"):
        writer(tmp_path / "file" / "out.mp4")
    monkeypatch.setattr("tdnet_runtime.media.overlay._ENCODER", "no_such_encoder")
    with pytest.raises(MediaError, match=r"built without the H.264 encoder no_such_encoder"):
        writer(tmp_path / "out.mp4")


def test_an_existing_file_without_the_right_to_write_stays(tmp_path, draw, monkeypatch):
    path = tmp_path / "out.mp4"
    path.write_text("precious")

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)  # root may write everything
        with pytest.raises(MediaError, match="stopped after 0 frames: Permission denied"):
            write(path, [draw(0)])
    assert path.read_text() == "precious"


def test_a_video_that_could_not_be_begun_takes_no_more_frames(tmp_path, monkeypatch, source_frame, draw):
    """The next one was written without a stream."""

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    path = tmp_path / "o.mp4"
    writer = OverlayWriter(path, size_hw=(36, 52), fps=None, colors=COLORS)
    with monkeypatch.context() as patch:
        patch.setattr(av, "open", interrupted)
        with pytest.raises(KeyboardInterrupt):
            writer.write(source_frame(draw(0)), np.zeros((36, 52), np.uint8))
    with pytest.raises(MediaError, match="it was finished before and takes no more"):
        writer.write(source_frame(draw(1)), np.zeros((36, 52), np.uint8))
    writer.close()
    assert list(tmp_path.iterdir()) == []
