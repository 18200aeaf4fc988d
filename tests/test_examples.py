"""The examples run: with files in place of cameras."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tdnet_runtime.media.scene import render

EXAMPLES = Path(__file__).parents[1] / "examples"
FRAMES = 6


@pytest.fixture
def camera(tmp_path: Path) -> Path:
    """A folder of images that plays the camera."""
    cv2 = pytest.importorskip("cv2")
    folder = tmp_path / "camera"
    folder.mkdir()
    for t in range(FRAMES):
        assert cv2.imwrite(str(folder / f"{t:03d}.png"), render(t, height=60, width=84)[..., ::-1])
    return folder


def run(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=300)


def test_camera_loop(tiny_bundle: Callable[[str], Path], camera: Path) -> None:
    pytest.importorskip("onnxruntime")
    done = run("camera_loop.py", tiny_bundle("td2-fa18"), camera)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == [f"frame {t:03d}" for t in range(1, FRAMES)]
    assert all(line.endswith(" 0 dropped before it") for line in lines)


def test_two_cameras(tiny_bundle: Callable[[str], Path], camera: Path) -> None:
    pytest.importorskip("onnxruntime")
    done = run("two_cameras.py", tiny_bundle("td2-fa18"), camera, camera)
    told = [line for line in done.stderr.splitlines() if ":front: is in mode " not in line]  # a busy machine
    assert (done.returncode, told) == (0, [])
    front, rear = done.stdout.splitlines()
    assert front.startswith("front: ended, mode ")
    assert rear.startswith("rear: ended, mode full, ")


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_what_is_not_there_is_told_in_one_line(name: str) -> None:
    assert run(name).stderr.startswith(f"usage: python examples/{name}")
    others = {
        "two_cameras.py": ("camera:0", "camera:0"),
        "log_replay.py": ("camera:0", "labels:masks"),
        "triton_client.py": ("td2-fa18", "127.0.0.1:9"),
        "ros2_node.py": ("camera:0", "labels:masks", "3"),
    }
    done = run(name, "absent.plan", *others.get(name, ("camera:0",)))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "absent.plan" in done.stderr
