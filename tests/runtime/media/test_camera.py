import os
import threading
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from tdnet_runtime.errors import MediaError, OptionError
from tdnet_runtime.media import camera, native_stderr
from tdnet_runtime.media.camera import CameraRequest, CameraSource
from tdnet_runtime.media.camera_name import CameraName, camera_from_name
from tdnet_runtime.media.damage import OnDamage
from tdnet_runtime.media.image_file import decoded_image
from tdnet_runtime.media.sources import open_source

FORMATS = {"size_hw": (36, 52), "format": "YUYV", "fps": 30.0}


def four(code):
    return int.from_bytes(code.encode(), "little")


class FakeCapture:
    """OpenCV's interface, with pictures from a list (None: a failed read) and then none.

    It gives what it is asked for where `obeys`; `noise` is written to stderr as the picture of that number is decoded,
    or as it is opened. `waits` is called while it waits for a picture.
    """

    waits = staticmethod(lambda: None)

    def __init__(self, pictures, *, obeys=True, noise=None):
        self.pictures = list(pictures)
        self.released = False
        self.obeys = obeys
        self.noise = noise or {}
        self.reads = 0
        self.calls = []
        self.values = {cv2.CAP_PROP_FOURCC: four("YUYV"), cv2.CAP_PROP_FPS: 30.0}

    def __call__(self, *opened):
        self.opened = opened
        if text := self.noise.get("open"):
            os.write(2, text)
        return self

    def isOpened(self):  # noqa: N802 - OpenCV's
        return "open" not in self.noise

    def set(self, option, value):
        self.calls.append((option, value))
        if self.obeys:
            self.values[option] = value
        return self.obeys

    def get(self, option):
        return self.values.get(option, 0.0)

    def grab(self):
        self.waits()
        return True

    def retrieve(self):
        if text := self.noise.get(self.reads):
            os.write(2, text)
        self.reads += 1
        picture = self.pictures.pop(0) if self.pictures else None
        return (False, None) if picture is None else (True, picture[..., ::-1].copy())

    def release(self):
        self.released = True


@pytest.fixture
def plug_in(monkeypatch):
    def make(pictures, **options):
        capture = FakeCapture(pictures, **options)
        monkeypatch.setattr(Path, "exists", lambda path: True)
        monkeypatch.setattr(cv2, "VideoCapture", capture)
        monkeypatch.setattr(camera.time, "sleep", lambda seconds: None)
        return capture

    return make


def source(spec="0", **options):
    return CameraSource(camera_from_name(spec), **options)


def test_frames_until_it_is_unplugged(plug_in, draw):
    capture = plug_in([draw(i) for i in range(4)])  # the first shows that it works, and is not given
    frames = []
    with source("3") as opened:
        assert (capture.opened, opened.fps, opened.frame_count, opened.size_hw) == (
            (3,),
            None,
            None,
            (36, 52),
        )
        with pytest.raises(
            MediaError, match="reading camera 3: it stopped after 3 frames, 10 reads in a row failed"
        ):
            frames.extend(opened)
        assert opened.facts["failed_reads"] == 10
    assert capture.released
    assert [frame.name for frame in frames] == ["000000", "000001", "000002"]
    assert sorted(frame.stamp_ns for frame in frames) == [frame.stamp_ns for frame in frames]
    assert all(np.array_equal(frame.image, draw(i + 1)) for i, frame in enumerate(frames))


def test_failed_reads_are_tried_again_and_counted(plug_in, draw):
    gap = [None] * 9
    plug_in([*gap, draw(0), draw(1), None, draw(2), *gap, draw(3)])
    frames = []
    with source() as opened, pytest.raises(MediaError, match="stopped after 3 frames"):
        frames.extend(opened)
    assert [np.array_equal(frame.image, draw(i + 1)) for i, frame in enumerate(frames)] == [True] * 3
    assert opened.facts["failed_reads"] == 9 + 1 + 9 + 10


def test_stop_ends_it_quietly_even_while_it_gives_nothing(plug_in, draw, monkeypatch):
    plug_in([draw(i) for i in range(3)])
    with source() as opened:
        assert opened.live
        frames = iter(opened)
        frame = next(frames)
        assert frame.arrival_ns == frame.stamp_ns
        opened.stop()
        assert list(frames) == []
    plug_in([draw(0)])
    with source() as opened:
        monkeypatch.setattr(
            camera.time, "sleep", lambda seconds: opened.stop()
        )  # while a read is tried again
        assert list(opened) == []
        assert opened.failed_reads == 1


def test_a_device_without_frames(plug_in, capfd):
    for noise, reads in (({"open": b"[ WARN] can't open camera by index\n"}, 0), ({}, 10)):
        capture = plug_in([], noise=noise)
        with pytest.raises(
            MediaError, match=r"opening camera 0: /dev/video0 gives no frames. Another program"
        ):
            source()
        assert capture.released
        assert capture.reads == reads
        assert capfd.readouterr().err == ""


def test_others_decode_while_a_silent_camera_is_waited_for(plug_in, draw, monkeypatch):
    """By one lock for all, a wait of seconds would be everybody's. Stamps are of when a frame came."""
    corrupt = cv2.imencode(".jpg", draw(0))[1].tobytes()[:-40] + b"\xff\xd9"
    monkeypatch.setattr(native_stderr, "_WAIT_S", 0.0)  # whoever would have to wait is told of no damage
    found = []
    clock = iter(range(100))
    capture = plug_in([draw(0), draw(1)])
    monkeypatch.setattr(camera, "time", SimpleNamespace(monotonic_ns=lambda: next(clock)))

    def decode():
        thread = threading.Thread(target=lambda: found.append(decoded_image(corrupt, name="a").damage))
        thread.start()
        thread.join()

    capture.waits = decode
    retrieve = capture.retrieve
    capture.retrieve = lambda: (next(clock), retrieve())[1]  # which takes its time
    with source() as opened:
        assert next(iter(opened)).stamp_ns == 2
    assert len(found) == 2
    assert all(damage.startswith("damaged: Corrupt JPEG data") for damage in found)


def test_a_change_of_size(plug_in, draw):
    plug_in([draw(0), draw(1), draw(2, height=20, width=30)])
    with source() as opened, pytest.raises(MediaError, match="frame 1 is 20x30, the first was 36x52"):
        list(opened)


def test_grey_cameras_and_those_of_more_bits(plug_in):
    plug_in([np.full((6, 8, 1), 7, np.uint8)] * 2)
    with source() as opened:
        assert np.array_equal(next(iter(opened)).image, np.full((6, 8, 3), 7))
    capture = plug_in([np.zeros((6, 8, 1), np.uint16)])
    with pytest.raises(MediaError, match="its samples are uint16, expected 8 bits; ask for another"):
        source()
    assert capture.released


CORRUPT = b"Corrupt JPEG data: premature end of data segment\n"
PADDED = b"Corrupt JPEG data: 2 extraneous bytes before marker 0xd9\n"


@pytest.mark.parametrize(
    ("policy", "names", "counts"),
    [
        (OnDamage.SKIP, ["000000", "000002"], (1, 0)),
        (OnDamage.USE, ["000000", "000001", "000002"], (0, 1)),
    ],
)
def test_corrupt_frames(plug_in, draw, capfd, policy, names, counts):
    """As libjpeg tells of them; filling before the end is none."""
    plug_in([draw(i) for i in range(4)], noise={1: PADDED, 2: CORRUPT, 3: b"from elsewhere\n"})
    frames = []
    with source(on_damage=policy) as opened, pytest.raises(MediaError, match="stopped after 3 frames"):
        frames.extend(opened)
    assert [frame.name for frame in frames] == names
    assert (opened.damage.skipped, opened.damage.used) == counts
    assert opened.damage.examples == [f"reading camera 0: frame 1 is damaged: {CORRUPT.decode().strip()}"]
    assert capfd.readouterr().err == "from elsewhere\n"


def test_corrupt_frames_end_it_where_asked(plug_in, draw):
    plug_in([draw(0), draw(1), draw(2)], noise={2: CORRUPT})
    frames = []
    with (
        source(on_damage=OnDamage.FAIL) as opened,
        pytest.raises(MediaError, match="frame 1 is damaged: Corrupt"),
    ):
        frames.extend(opened)
    assert len(frames) == 1


def test_a_request_is_made_format_first_and_told(plug_in, draw):
    capture = plug_in([draw(0)])
    request = CameraRequest(size_hw=(36, 52), pixel_format="MJPG", fps=15)
    with open_source("camera:1", camera=request) as opened:
        assert opened.facts["camera_format"] == "MJPG"
        assert opened.facts["camera_fps"] == 15.0
    assert capture.calls[1:] == [
        (cv2.CAP_PROP_FOURCC, four("MJPG")),
        (cv2.CAP_PROP_FRAME_WIDTH, 52),
        (cv2.CAP_PROP_FRAME_HEIGHT, 36),
        (cv2.CAP_PROP_FPS, 15),
    ]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"size_hw": (72, 104)}, r"--camera-size 72x104, gives 36x52\. What it can: v4l2-ctl -d /dev/video0"),
        ({"size_hw": (52, 36)}, "--camera-size 52x36, gives 36x52; height comes first"),
        ({"pixel_format": "MJPG"}, "--camera-format MJPG, gives YUYV"),
        ({"fps": 60}, r"--camera-fps 60, gives 30\.0"),
        (
            {"pixel_format": "MJPG", "fps": 60},
            r"--camera-format MJPG, gives YUYV, and for --camera-fps 60, gives 30",
        ),
    ],
)
def test_what_a_camera_gives_instead_is_an_error(plug_in, draw, request_, message):
    capture = plug_in([draw(0)], obeys=False)
    with pytest.raises(MediaError, match=f"opening camera 0: asked for {message}"):
        source(request=CameraRequest(**request_))
    assert capture.released


def test_a_rate_that_it_does_not_tell(plug_in, draw):
    capture = plug_in([draw(0)], obeys=False)
    capture.values[cv2.CAP_PROP_FPS] = 0.0
    with pytest.raises(MediaError, match="--camera-fps 30, gives none that it tells"):
        source(request=CameraRequest(fps=30))


def test_a_rate_in_drivers_fractions(plug_in, draw):
    capture = plug_in([draw(0)], obeys=False)
    capture.values[cv2.CAP_PROP_FPS] = 30000 / 1001
    with source(request=CameraRequest(fps=30)) as opened:
        assert opened.facts["camera_fps"] == 30000 / 1001


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"size_hw": (0, 5)}, "--camera-size is 0x5"),
        ({"pixel_format": "JPEG2"}, "--camera-format is 'JPEG2'; expected four characters"),
        ({"fps": 0.0}, "--camera-fps is 0"),
        ({"fps": float("nan")}, "--camera-fps is nan"),
    ],
)
def test_requests_that_cannot_be_meant(request_, message):
    with pytest.raises(OptionError, match=message):
        CameraRequest(**request_)


def test_a_request_goes_with_a_camera(tmp_path):
    with pytest.raises(OptionError, match="--camera-fps go with a camera; leave them out for"):
        open_source(tmp_path, camera=CameraRequest(fps=5))


def test_present_cameras_are_listed(monkeypatch):
    monkeypatch.setattr(Path, "exists", lambda path: False)
    monkeypatch.setattr(
        Path,
        "glob",
        lambda path, pattern: [path / each for each in ("video2", "video1")] if path.name == "dev" else [],
    )
    with pytest.raises(MediaError, match=r"cameras present: /dev/video1, /dev/video2"):
        source()


def test_a_device_without_a_number_is_opened_by_its_name(plug_in, draw):
    capture = plug_in([draw(0)])
    with CameraSource(CameraName(index=None, device="/dev/front")) as opened:
        assert opened.description == "camera '/dev/front'"
    assert capture.opened == ("/dev/front", cv2.CAP_V4L2)
