"""The cameras of `make demo-live`, and once in a while all of it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from fractions import Fraction
from itertools import islice
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tdnet_runtime.media.scene import render

DEMO = Path(__file__).parents[2] / "examples" / "live_demo"
FRAMES, SIZE_HW = 50, (120, 160)


@pytest.fixture
def player() -> ModuleType:
    """play_camera.py."""
    spec = importlib.util.spec_from_file_location("play_camera", DEMO / "play_camera.py")
    assert spec is not None and spec.loader is not None  # noqa: PT018
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """Two seconds of H.264 in an MP4 file."""
    from tdnet_runtime.media.frames import SourceFrame
    from tdnet_runtime.media.overlay import OverlayWriter

    path = tmp_path / "street.mp4"
    labels = np.zeros(SIZE_HW, np.uint8)
    with OverlayWriter(path, size_hw=SIZE_HW, fps=Fraction(25), colors=[(0, 0, 0)]) as writer:
        for t in range(FRAMES):
            image = render(t, height=SIZE_HW[0], width=SIZE_HW[1])
            writer.write(SourceFrame(image=image, name="", stamp_ns=t * 40_000_000), labels)
    return path


def test_what_comes_by_rtsp_is_the_video(player: ModuleType, street: Path) -> None:
    """Each picture that a client is given is one of the file's, pixel for pixel."""
    from tdnet_runtime.sources.registry import open_source

    session = type("Session", (player.RtspSession,), {"video": player.Video(str(street))})
    with player.RtspServer(("127.0.0.1", 0), session) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            with open_source(f"rtsp://127.0.0.1:{server.server_address[1]}/live") as camera:
                seen = [frame.image for frame in islice(camera, 5)]
        finally:
            server.shutdown()
            thread.join()
    with open_source(street) as video:
        known = [frame.image for frame in video]
    places = [next(i for i, image in enumerate(known) if np.array_equal(image, each)) for each in seen]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("name", ["demo.py", "play_camera.py"])
def test_usage(name: str) -> None:
    if name == "demo.py":
        pytest.importorskip("mcap")
    done = subprocess.run([sys.executable, str(DEMO / name)], capture_output=True, text=True, timeout=120)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert done.stderr.startswith(f"usage: python examples/live_demo/{name} ")


def test_an_absent_video_is_one_line(tmp_path: Path) -> None:
    words = [sys.executable, str(DEMO / "play_camera.py"), "rtsp://127.0.0.1:0/x", str(tmp_path / "no.mp4")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "no.mp4" in done.stderr


@pytest.mark.slow
def test_all_of_it(tiny_bundle: Callable[[str], Path], street: Path, tmp_path: Path) -> None:
    for package in ("mcap", "rerun", "prometheus_client", "onnxruntime"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    if not any(map(importlib.util.find_spec, ("cyclonedds", "zenoh"))):
        pytest.skip("neither Cyclone DDS nor Zenoh is installed")
    out = tmp_path / "live"
    words = [sys.executable, str(DEMO / "demo.py"), str(tiny_bundle("td2-fa18")), str(street), str(out)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "/segmentation/rear/mask" in done.stdout
    sources = json.loads((out / "run.json").read_text())["live"]["health"]["sources"]
    assert sources["rear"]["restarts"] >= 1
