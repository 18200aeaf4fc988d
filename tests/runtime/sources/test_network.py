"""Network cameras, by small servers on loopback."""

import http.server
import itertools
import socket
import subprocess
import sys
import threading
import time

import cv2
import numpy as np
import pytest

from tdnet_runtime.errors import MediaError
from tdnet_runtime.sources import network
from tdnet_runtime.sources.registry import open_source

SIZE = (48, 64)
LAST = 40


def jpeg(index):
    """A picture whose brightness tells its number."""
    return cv2.imencode(".jpg", np.full((*SIZE, 3), 5 * index % 250, np.uint8))[1].tobytes()


def number_of(frame):
    return round(float(frame.image.mean()) / 5)


class MjpegCamera(http.server.BaseHTTPRequestHandler):
    """Sends as many frames at once, then one each time `more` is released, until `gone` is set."""

    at_once = 3
    more = threading.Semaphore(0)
    gone = threading.Event()
    kind = "multipart/x-mixed-replace;boundary=frame"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", self.kind)
        self.end_headers()
        try:
            for index in itertools.count():
                if index >= self.at_once:
                    while not self.more.acquire(timeout=0.05):
                        if self.gone.is_set():
                            return
                data = jpeg(index)
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                self.wfile.write(head.encode() + data + b"\r\n")
                self.wfile.flush()
        except OSError:
            return

    def log_message(self, *args):
        pass


@pytest.fixture
def camera():
    """Its address and class; more frames come while the test runs."""

    class Camera(MjpegCamera):
        more = threading.Semaphore(0)
        gone = threading.Event()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    server.daemon_threads = True
    threads = [threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)]
    pace = threading.Event()

    def release():
        while not pace.wait(0.04):
            Camera.more.release()

    threads.append(threading.Thread(target=release, daemon=True))
    for thread in threads:
        thread.start()
    Camera.pace = pace
    yield f"http://127.0.0.1:{server.server_address[1]}/video", Camera
    Camera.gone.set()
    pace.set()
    server.shutdown()
    server.server_close()
    for thread in threads:
        thread.join()


def test_frames_of_a_camera(camera):
    address, _ = camera
    before = time.monotonic_ns()
    with open_source(address) as source:
        frames = list(itertools.islice(source, 4))
        assert (source.live, source.frame_count, source.fps, source.size_hw) == (True, None, None, SIZE)
        assert source.facts["reader"].startswith("PyAV")
        assert source.facts["stream"] == "0, mjpeg"
        assert source.description == f"network camera {address}"
    numbers = [number_of(frame) for frame in frames]
    assert numbers == sorted(set(numbers))
    stamps = [frame.stamp_ns for frame in frames]
    assert before < stamps[0]
    assert stamps == sorted(set(stamps))
    assert stamps == [frame.arrival_ns for frame in frames]
    assert frames[0].lost_before == 0


def test_the_old_frames_at_the_beginning_are_passed_over(camera):
    address, served = camera
    served.at_once = 20
    with open_source(address) as source:
        first = next(iter(source))
        assert source.facts["frames_passed_over"] >= 15
    assert number_of(first) >= 15


def test_frames_of_a_pause_are_passed_over_and_told(camera):
    address, _ = camera
    with open_source(address) as source:
        frames = iter(source)
        before = [number_of(next(frames)) for _ in range(3)]
        time.sleep(0.6)  # as a slow network would
        after = next(frames)
    assert number_of(after) > before[-1] + 5
    assert after.lost_before == number_of(after) - before[-1] - 1


def test_a_stream_that_ends_is_a_lost_camera(camera):
    address, served = camera
    with open_source(address) as source:
        frames = iter(source)
        next(frames)
        served.pace.set()
        served.gone.set()
        with pytest.raises(MediaError, match=r"network camera .* was lost after [0-9]+ frames: "):
            list(frames)


def test_a_camera_that_falls_silent(camera, monkeypatch):
    monkeypatch.setattr(network, "_READ_S", 0.3)
    address, served = camera
    with open_source(address) as source:
        frames = iter(source)
        next(frames)
        served.pace.set()
        with pytest.raises(MediaError, match=r"was lost after .*: it sent nothing for 0\.3 s"):
            list(frames)


def test_stopping(camera):
    address, _ = camera
    with open_source(address) as source:
        frames = iter(source)
        next(frames)
        threading.Timer(0.1, source.stop).start()
        list(frames)


def test_nobody_there():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for scheme in ("rtsp", "http"):
        address = f"{scheme}://me:secret@127.0.0.1:{port}/a"
        with pytest.raises(MediaError, match="refused; is the address right, and the camera on") as caught:
            open_source(address)
        assert f"{scheme}://me:***@127.0.0.1:{port}/a" in str(caught.value)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_one_that_accepts_and_never_answers(monkeypatch, scheme):
    monkeypatch.setattr(network, "_OPEN_S", 0.3)
    monkeypatch.setattr(network, "_READ_S", 0.3)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        pytest.raises(MediaError, match="opening the network camera"),
    ):
        open_source(f"{scheme}://127.0.0.1:{server.getsockname()[1]}/a")


def test_something_else_than_a_video(camera):
    address, served = camera
    served.kind = "text/html"
    served.at_once = 0
    served.pace.set()
    served.gone.set()
    with pytest.raises(MediaError, match="opening the network camera"):
        open_source(address)


def test_an_address_leads_to_no_file_of_this_machine(tmp_path, camera, encode, draw):
    """A playlist is what a server may answer."""
    encode(tmp_path / "secret.mp4", [draw(0)])
    _, served = camera

    class Playlist(served):
        def do_GET(self):  # noqa: N802 - http.server's name
            self.send_response(200)
            self.send_header("Content-Type", "application/vnd.apple.mpegurl")
            self.end_headers()
            self.wfile.write(f"#EXTM3U\n#EXTINF:1,\nfile://{tmp_path}/secret.mp4\n#EXT-X-ENDLIST\n".encode())

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Playlist)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    with pytest.raises(MediaError, match="opening the network camera"):
        open_source(f"http://127.0.0.1:{server.server_address[1]}/list.m3u8")
    server.shutdown()
    server.server_close()
    thread.join()


SERVE = """
import sys
import numpy as np, rtsp
from PIL import Image
pictures = [Image.fromarray(np.full((96, 128, 3), 40 * i, np.uint8)) for i in range(5)]
with rtsp.Source(sys.argv[1], fps=25, size=(128, 96), frame_buffer=pictures) as server:
    server.wait_ready()
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def rtsp_camera():
    """The address of a server of another project, and its process."""
    pytest.importorskip("rtsp", reason="the package rtsp is not installed")
    pytest.importorskip("PIL", reason="the package rtsp needs pillow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"rtsp://127.0.0.1:{free.getsockname()[1]}/cam"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", SERVE, address], stdin=pipe, stdout=pipe) as server:
        assert server.stdout.readline() == b"ready\n"
        yield address, server
        server.kill()


def test_rtsp_over_tcp(rtsp_camera):
    address, server = rtsp_camera
    with open_source(address) as source:
        frames = iter(source)
        first = list(itertools.islice(frames, 8))
        assert source.facts["stream"].endswith("h264")
        assert source.size_hw == (96, 128)
        assert {round(frame.image.mean() / 40) for frame in first} == {0, 1, 2, 3, 4}
        server.kill()
        with pytest.raises(MediaError, match="was lost after"):
            list(frames)
