"""Which source a URL names."""

import builtins
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.runtime.sources.logs import camera, write_mcap

from tdnet_runtime.errors import MediaError, MissingExtraError, OptionError
from tdnet_runtime.media.camera import CameraRequest
from tdnet_runtime.passwords import hide_password
from tdnet_runtime.sources import registry
from tdnet_runtime.sources.registry import open_source, register, schemes
from tdnet_runtime.sources.source_url import SourceUrl, source_name


@pytest.fixture(autouse=True)
def _own_table(monkeypatch):
    monkeypatch.setattr(registry, "_TABLE", dict(registry._TABLE))


def test_the_schemes():
    assert {"camera", "file", "http", "https", "mcap", "rosbag2", "rtsp", "rtsps", "udp"} <= set(schemes())


def test_a_source_of_ones_own(monkeypatch):
    class Own:
        def __init__(self, url, options):
            self.url, self.options = url, options

    module = type(sys)("my_robot")
    module.Own = Own
    monkeypatch.setitem(sys.modules, "my_robot", module)
    register("lidar", "my_robot:Own", extra="cli", params=("port",))
    source = open_source("lidar:front?port=7")
    assert (source.url.scheme, source.url.rest, dict(source.url.params)) == ("lidar", "front", {"port": "7"})
    assert source.options.camera is None
    with pytest.raises(OptionError, match=r"the parameter 'baud' is not known here; expected: port"):
        open_source("lidar:front?baud=7")


def test_a_library_that_is_missing(monkeypatch):
    register("lidar", "absent_package.lidar:Source", extra="mcap")
    with pytest.raises(
        MissingExtraError, match=r"'absent_package' is not installed; .* 'tdnet-deploy\[mcap\]'"
    ):
        open_source("lidar:front")


@pytest.mark.parametrize("package", ["zstandard", "lz4"])
def test_a_packed_log_without_what_unpacks_it(tmp_path, monkeypatch, package):
    from mcap.writer import CompressionType

    kind = CompressionType.ZSTD if package == "zstandard" else CompressionType.LZ4
    path = write_mcap(tmp_path / "a.mcap", camera(), compression=kind)
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"'{package}' is not installed; .* 'tdnet-deploy\[mcap\]'"):
        open_source(path)


def test_a_log_that_is_not_packed_needs_no_package(tmp_path, monkeypatch):
    path = write_mcap(tmp_path / "a.mcap", camera())
    real = builtins.__import__

    def refuse(name, *rest):
        assert name.partition(".")[0] not in {"mcap", "zstandard", "lz4", "av"}, name
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with open_source(path) as source:
        assert len(list(source)) == 6


def test_a_video_without_pyav(tmp_path, monkeypatch):
    (tmp_path / "a.mp4").write_bytes(b"0")
    monkeypatch.delitem(sys.modules, "tdnet_runtime.media.video", raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == "av"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"'av' is not installed; install it with: .*\[cli\]"):
        open_source(tmp_path / "a.mp4")


@pytest.mark.parametrize("address", ["ftp://robot/a", "s3://bucket/a.mcap", "rtmp://x/y", "grpc+tls://x"])
def test_addresses_of_other_kinds(address):
    with pytest.raises(
        MediaError, match=r"addresses of the kind .*:// are not opened; expected one of camera, file,"
    ):
        open_source(address)


def test_a_path_that_looks_like_a_url(tmp_path, monkeypatch, encode, draw):
    monkeypatch.chdir(tmp_path)
    encode(tmp_path / "clip.mp4", [draw(0)]).rename(tmp_path / "mcap:clip.mp4")
    with open_source("./mcap:clip.mp4") as source:
        assert source.frame_count == 1
    with open_source("file:mcap:clip.mp4") as source:
        assert source.frame_count == 1
    with pytest.raises(MediaError, match=r"there is no such file or folder: 'clip\.mp4'"):
        open_source("mcap:clip.mp4")


@pytest.mark.parametrize("spec", ["", " ", "mcap:", "file:", "rosbag2: ", "mcap:?topic=/cam"])
def test_empty_names(tmp_path, monkeypatch, spec):
    """The current folder is not meant."""
    write_mcap(tmp_path / "a.mcap", camera())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MediaError, match=r"names nothing; is a variable unset|its name is empty"):
        open_source(spec)


def test_a_file_whose_name_is_a_number(tmp_path, monkeypatch, encode, draw):
    encode(tmp_path / "clip.mp4", [draw(0)]).rename(tmp_path / "0")
    monkeypatch.chdir(tmp_path)
    with open_source("file:0") as source:
        assert source.frame_count == 1


def test_options_for_another_kind_of_source(tmp_path):
    path = write_mcap(tmp_path / "a.mcap", camera())
    with pytest.raises(OptionError, match="--bit-depth goes with a folder of images; leave it out"):
        open_source(path, bit_depth=10)
    with pytest.raises(OptionError, match="--camera-size, --camera-format and --camera-fps go with a camera"):
        open_source(path, camera=CameraRequest(fps=30))
    with pytest.raises(MediaError, match="there is no /dev/video4242"):
        open_source("camera:4242", camera=CameraRequest(fps=30))


@pytest.mark.parametrize(
    ("spec", "live"),
    [
        ("0", True),
        ("camera:3", True),
        ("/dev/video7", True),
        ("rtsp://x/y", True),
        ("https://x", True),
        ("none.mp4", False),
        ("none.mcap", False),
        ("rosbag2:none", False),
        ("file:0", False),
        ("./0", False),
    ],
)
def test_whether_frames_come_by_the_clock_without_opening(spec, live):
    assert registry.is_live(spec) == live


def test_urls():
    url = SourceUrl.parse("MCAP:a%20b.mcap?topic=%2Fcam%2Bx", known=frozenset({"topic"}))
    assert (url.scheme, url.rest, url.params["topic"]) == ("mcap", "a b.mcap", "/cam+x")
    assert SourceUrl.parse("ros2:///camera/image", known=frozenset()).topic == "/camera/image"
    assert SourceUrl.parse("rtsp://a/b?c=d", known=None).rest == "//a/b?c=d"
    assert hide_password("rtsp://me:se:cret@h/x") == "rtsp://me:***@h/x"
    assert hide_password("rtsp://h/x?a=b:c@d") == "rtsp://h/x?a=b:c@d"
    assert (
        hide_password("'http://h/x?usr=a&PWD=b&c=1#d' and more")
        == "'http://h/x?usr=a&PWD=***&c=1#d' and more"
    )
    signed = "https://h/x?X-Amz-Date=1&X-Amz-Credential=AK%2F2&X-Amz-Signature=ab"
    assert hide_password(signed) == "https://h/x?X-Amz-Date=1&X-Amz-Credential=***&X-Amz-Signature=***"
    assert hide_password("mcap:a.mcap?topic=/pass&monkey=key") == "mcap:a.mcap?topic=/pass&monkey=key"


def test_images_and_cameras_are_opened_as_before(tmp_path):
    import cv2

    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    with open_source(tmp_path, bit_depth=8) as source:
        assert len(list(source)) == 1
    (tmp_path / "b.mcap").write_bytes(b"")
    with open_source(tmp_path) as source:  # images, whatever else lies beside
        assert source.description.startswith("images in")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("drives/front.mp4", "front.mp4"),
        ("drives/front/", "front"),
        ("front/..", None),
        ("0", "0"),
        ("/dev/video0", "video0"),
        ("file:///drives/front.mp4", "file:front.mp4"),
        ("mcap:drives/x.mcap?topic=/camera/image_raw", "mcap:x.mcap"),
        ("drives/x.mcap?topic=/camera/image_raw", "x.mcap"),
        ("ros2:///camera/image_raw?domain=3", "ros2:image_raw"),
        ("camera:0", "camera:0"),
        ("http://admin:secret@127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("RTSP://secret@cam/s?user=secret&password=secret#secret", "rtsp://cam"),
        ("rtsp://[::1]:8554/user=admin_password=secret", "rtsp://[::1]:8554"),
        ("rtsp://admin:sec/secret@cam/s", "rtsp://"),
        ("rtsp://admin:12?secret@cam/s", "rtsp://"),
        ("rtsp://admin:a@secret@cam/s", "rtsp://cam"),
    ],
)
def test_documents_name_a_source_without_what_is_secret(text, name):
    assert source_name(text) == (Path.cwd().name if name is None else name)


def test_documents_name_the_folder_that_a_dot_is(tmp_path, monkeypatch):
    (tmp_path / "my drive?").mkdir()
    monkeypatch.chdir(tmp_path / "my drive?")
    assert source_name(".") == source_name("../my drive?") == "my drive?"


def test_refused_options_hide_a_password():
    with pytest.raises(OptionError, match=r"leave it out for 'http://admin:\*\*\*@cam/'"):
        open_source("http://admin:secret@cam/", bit_depth=8)
