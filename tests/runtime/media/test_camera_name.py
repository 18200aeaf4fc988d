import os
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.camera_name import CameraName, camera_from_name
from tdnet_runtime.media.sources import open_source


@pytest.mark.parametrize(
    ("spec", "index"),
    [
        ("0", 0),
        ("camera:2", 2),
        ("/dev/video11", 11),
        ("/dev/../dev/video7", 7),
        ("video.mp4", None),
        ("./0", None),
        ("-1", None),
        ("٣", None),
        ("/dev/null", None),
        ("a\0b", None),
    ],
)
def test_camera_names(spec, index):
    found = camera_from_name(spec)
    assert (found and found.index) == index


def test_no_camera():
    with pytest.raises(MediaError, match=r"a camera is named camera:0, camera:1, \.\.\.; got 'camera:front'"):
        camera_from_name("camera:front")


def test_links_are_followed_and_kept_for_messages(tmp_path):
    (tmp_path / "middle").symlink_to("/dev/video4243")
    link = tmp_path / "usb-Vendor_Camera-video-index0"
    link.symlink_to("middle")
    assert camera_from_name(str(link)) == CameraName(index=4243, device=str(link))
    with pytest.raises(
        MediaError, match=rf"opening camera '{link}' \(/dev/video4243\): there is no {link} .*present: "
    ):
        open_source(link)


@pytest.fixture
def devices(monkeypatch):
    """devices({path: (major, minor)}): character devices of these numbers are at these paths."""

    def make(numbers):
        real = os.stat

        def fake(path, *arguments, **options):
            if str(path) not in numbers:
                return real(path, *arguments, **options)
            return SimpleNamespace(st_mode=stat.S_IFCHR | 0o660, st_rdev=os.makedev(*numbers[str(path)]))

        monkeypatch.setattr(os, "stat", fake)
        monkeypatch.setattr(Path, "stat", lambda path, **options: fake(path, **options))
        monkeypatch.setattr(
            Path,
            "glob",
            lambda path, pattern: [Path(each) for each in numbers if each.startswith(f"{path}/video")],
        )

    return make


def test_device_files_of_other_names_are_known_by_their_numbers(devices):
    """The minor number is not N."""
    devices({"/dev/my_cam": (81, 5), "/dev/video0": (81, 0), "/dev/video2": (81, 5)})
    found = camera_from_name("/dev/my_cam")
    assert found == CameraName(index=2, device="/dev/my_cam")
    assert str(found) == "camera '/dev/my_cam' (/dev/video2)"


def test_a_device_file_alone_as_in_a_container(devices):
    devices({"/dev/front": (81, 3), "/dev/tty9": (4, 9)})
    assert camera_from_name("/dev/front") == CameraName(index=None, device="/dev/front")
    assert camera_from_name("/dev/tty9") is None
