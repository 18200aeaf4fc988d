"""Against nodes that are not ours: rclpy of ROS 2 Kilted and Jazzy with Fast DDS, and pyzeros over Zenoh.

`tests/ros2_peers/make_venv.sh` makes their environments. Which of them is there is said by TDNET_PEER_KILTED,
TDNET_PEER_JAZZY and TDNET_PEER_PYZEROS, each the path of a Python; the tests of the others skip.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.transports.processes import free_domain, free_port, running_router, start

import tdnet_runtime

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parent
FRAMES = 90


def python_of(peer: str, package: str) -> str:
    """The peer's Python."""
    name = f"TDNET_PEER_{peer.upper()}"
    found = os.environ.get(name)
    if not found:
        pytest.skip(f"{name} names no Python of {peer}; see tests/ros2_peers/make_venv.sh")
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    return found


def run_peer(python: str, script: str, *arguments: object, **environment: str) -> dict[str, Any]:
    """What the peer saw."""
    own = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PYTHON", "CYCLONEDDS", "RMW_"))
    }
    done = subprocess.run(
        [python, FOLDER / script, *map(str, arguments)],
        env={**own, **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@contextlib.contextmanager
def product(bundle: Path, graph: str) -> Iterator[subprocess.Popen[str]]:
    """`tdnet-run` on the graph, ended by SIGTERM as by a robot's launcher."""
    code = "from tdnet_runtime.cli import run_main; run_main()"
    arguments = (
        "--engine",
        bundle,
        "--backend",
        "onnxruntime",
        "--input",
        f"ros2:///camera/image_raw?{graph}&wait=100",
    )
    process = start("-c", code, *arguments, "--output", f"ros2:///segmentation?{graph}")
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=30)
        finally:
            process.kill()


@pytest.fixture
def _children_find_the_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(tdnet_runtime.__file__).parents[1]))


@pytest.mark.usefixtures("_children_find_the_product")
@pytest.mark.parametrize(
    ("size", "reliability"), [("120x160", "best_effort"), ("480x640", "best_effort"), ("480x640", "reliable")]
)
@pytest.mark.parametrize("distribution", ["kilted", "jazzy"])
def test_a_robot_of_ros2_has_its_camera_labelled(
    tiny_bundle: Callable[[str], Path], distribution: str, size: str, reliability: str
) -> None:
    python = python_of(distribution, "cyclonedds")
    pytest.importorskip("torch")
    domain = free_domain()
    raw = ("--raw-mask",) if size == "120x160" else ()  # larger ones do not fit Fast DDS's own buffers
    with product(tiny_bundle("td2-fa18"), f"rmw=dds&domain={domain}"):
        seen = run_peer(
            python,
            "rclpy_peer.py",
            *("--frames", FRAMES, "--size", size, "--reliability", reliability, "--wait", 60, *raw),
            ROS_DOMAIN_ID=str(domain),
            ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST",
            RMW_IMPLEMENTATION="rmw_fastrtps_cpp",
        )
    assert (
        len(seen["packed"]) >= FRAMES // 2
    )  # stamps are those of frames that were sent, or they would not be here
    assert all(
        mask[1:] == ["camera_link", "mono8; png compressed ", "89504e47"] for mask in seen["packed"].values()
    )
    if raw:
        assert len(seen["masks"]) >= FRAMES // 2
        assert all(mask[1:4] == ["camera_link", "mono8", [120, 160, 160]] for mask in seen["masks"].values())
    assert seen["label_info"] == [["vision_msgs/msg/LabelInfo", True]]
    for leaf, kind in (("mask", "Image"), ("mask/compressed", "CompressedImage"), ("colors", "Image")):
        assert seen["topics"][f"/segmentation/{leaf}"] == [f"sensor_msgs/msg/{kind}"]


@pytest.mark.usefixtures("_children_find_the_product")
def test_a_robot_of_rmw_zenoh_has_its_camera_labelled(tiny_bundle: Callable[[str], Path]) -> None:
    python = python_of("pyzeros", "zenoh")
    pytest.importorskip("torch")
    domain, router = free_domain(), f"tcp/127.0.0.1:{(port := free_port())}"
    with running_router(port), product(tiny_bundle("td2-fa18"), f"rmw=zenoh&domain={domain}&router={router}"):
        seen = run_peer(
            python,
            "pyzeros_peer.py",
            *("--router", router, "--domain", domain, "--frames", FRAMES, "--wait", 60),
        )
    for leaf in ("masks", "packed"):
        assert len(seen[leaf]) >= FRAMES // 2
    mask, packed = seen["first"]["Image"], seen["first"]["CompressedImage"]
    assert (mask["height"], mask["width"], mask["step"], mask["encoding"]) == (480, 640, 640, "mono8")
    assert (packed["format"], packed["data"][:4]) == ("mono8; png compressed ", [0x89, 0x50, 0x4E, 0x47])
    assert {mask["frame_id"], packed["frame_id"]} == {"camera_link"}
    ours = {"/".join(token.split("/")[5:11]) for token in seen["tokens"] if "/tdnet_run" in token}
    assert {
        "NN/%/%/tdnet_run",
        "MP/%/%/tdnet_run/%segmentation%mask/sensor_msgs::msg::dds_::Image_",
        "MP/%/%/tdnet_run/%segmentation%label_info/vision_msgs::msg::dds_::LabelInfo_",
        "MS/%/%/tdnet_run/%camera%image_raw/sensor_msgs::msg::dds_::Image_",
    } <= ours
