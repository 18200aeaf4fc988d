"""examples/ros2_node.py, as a user starts it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.runtime.transports.processes import start

from tdnet_runtime.ros.messages import RawImage
from tdnet_runtime.ros.types import IMAGE
from tdnet_runtime.transports.address import RosAddress

NODE = Path(__file__).parents[3] / "examples" / "ros2_node.py"
HZ = 3


@pytest.mark.usefixtures("child_path")
def test_the_node_of_the_examples(tiny_bundle: Callable[[str], Path], graph_of: Callable[[str], str]) -> None:
    """It waits for the camera, then labels at its rate at most, with the frames' headers; and ends with Ctrl-C."""
    pytest.importorskip("torch")
    graph = graph_of("zenoh")
    node = start(NODE, tiny_bundle("td2-fa18"), f"ros2:///cam?{graph}", f"ros2:///seg?{graph}", HZ)
    with RosAddress.from_params(dict(part.split("=", 1) for part in graph.split("&"))).open() as robot:
        masks, colors = (robot.reader(f"/seg/{leaf}", IMAGE) for leaf in ("mask", "colors"))
        camera = robot.writer("/cam", IMAGE)
        stop, sent = threading.Event(), set()

        def publish() -> None:
            pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
            while not stop.wait(0.02):
                sent.add(stamp_ns := time.time_ns())
                camera.write(
                    RawImage.from_pixels(pixels, encoding="bgr8", stamp_ns=stamp_ns, frame_id="cam").to_cdr()
                )

        thread = threading.Thread(target=publish)
        thread.start()
        try:
            first = masks.read(60)
            begin = time.monotonic()
            assert first is not None
            read = [
                RawImage.from_cdr(arrival.data) for arrival in (masks.read(20) for _ in range(4)) if arrival
            ]
            assert len(read) == 4
            assert (
                time.monotonic() - begin > (4 - 2) / HZ
            )  # never faster than asked, but for the jitter of one frame
            color = colors.read(20)
            assert color is not None
        finally:
            stop.set()
            thread.join()
            node.send_signal(signal.SIGINT)
            output = node.communicate(timeout=60)[0]
    assert {mask.stamp_ns for mask in read} <= sent
    assert {(mask.frame_id, mask.encoding, mask.height, mask.width) for mask in read} == {
        ("cam", "mono8", 48, 64)
    }
    assert RawImage.from_cdr(color.data).encoding == "rgb8"
    assert (node.returncode, output) == (130, "")
