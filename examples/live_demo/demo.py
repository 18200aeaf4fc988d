"""`make demo-live`: two cameras, one deadline, one camera that dies and comes back; checks what came of it.

    python examples/live_demo/demo.py X.plan STREET.mp4 OUT

The video is played at its own rate as a ROS 2 topic (by DDS, or by Zenoh where there is no Cyclone DDS) and by RTSP, both
on the loopback, and `tdnet-run` segments both. OUT holds a log with the masks, a file for Rerun's viewer, an overlay video
of each camera, the metrics while it ran, and the summary.
"""

from __future__ import annotations

import importlib.util
import json
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from mcap.reader import make_reader
from rich.console import Console
from rich.table import Table

PLAYER = Path(__file__).with_name("play_camera.py")
SECONDS, DIES_S, COMES_BACK_S, SCRAPED_S = 30, 9, 14, 27
DEADLINE_MS = 400
DOMAIN = 77


class DemoError(Exception):
    """Something is not as it should be."""


def free_port() -> int:
    """One that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def playing(address: str, video: str) -> Iterator[subprocess.Popen[bytes]]:
    """A camera, in a process of its own."""
    process = subprocess.Popen([sys.executable, str(PLAYER), address, video])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def ros2_graph(stack: ExitStack) -> str:
    """Parameters of a ROS 2 graph on this machine."""
    if importlib.util.find_spec("cyclonedds") is not None:
        return f"rmw=dds&domain={DOMAIN}"
    import zenoh  # only where it is needed

    endpoint = f"tcp/127.0.0.1:{free_port()}"
    config = zenoh.Config()
    for key, value in (
        ("mode", '"router"'),
        ("listen/endpoints", f'["{endpoint}"]'),
        ("scouting/multicast/enabled", "false"),
    ):
        config.insert_json5(key, value)
    stack.enter_context(zenoh.open(config))
    return f"rmw=zenoh&domain={DOMAIN}&router={endpoint}"


def run(plan: str, video: str, out: Path) -> None:
    """Play, segment, kill a camera, bring it back, look at the metrics; until `tdnet-run` has ended."""
    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        front = f"ros2:///camera/image_raw/compressed?{ros2_graph(stack)}"
        rear = f"rtsp://127.0.0.1:{free_port()}/live"
        stack.enter_context(playing(front, video))
        first = stack.enter_context(playing(rear, video))
        words = {
            "--engine": plan,
            "--backend": "onnxruntime",
            "--deadline-ms": str(DEADLINE_MS),
            "--gap-ms": "2000",
            "--max-seconds": str(SECONDS),
            "--metrics": "0",
            "--json": str(out / "run.json"),
        }
        several = {
            "--input": [f"front={front}&wait=20&timeout=2", f"rear={rear}"],
            "--output": [f"{out}/masks.mcap", f"{out}/masks.rrd", f"overlay:{out}/overlay-{{source}}.mp4"],
        }
        pairs = [*words.items(), *((name, value) for name, values in several.items() for value in values)]
        command = [str(Path(sys.executable).with_name("tdnet-run")), "--wait"]
        command += [word for pair in pairs for word in pair]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        stack.callback(process.kill)
        address = threading.Event(), [""]
        pump = threading.Thread(target=_pump, args=(process, *address), daemon=True)
        pump.start()
        if not address[0].wait(120) or not address[1][0]:
            raise DemoError(f"tdnet-run ended with {process.wait()} before it served metrics")
        begin_s = time.monotonic()
        _wait_until(begin_s + DIES_S)
        _say("the demo kills the rear camera")
        first.kill()
        _wait_until(begin_s + COMES_BACK_S)
        _say("the demo starts the rear camera again")
        stack.enter_context(playing(rear, video))
        _wait_until(begin_s + SCRAPED_S)
        with urllib.request.urlopen(address[1][0], timeout=20) as response:
            (out / "metrics.txt").write_bytes(response.read())
        if process.wait(120) != 0:
            raise DemoError(f"tdnet-run ended with {process.returncode}")
        pump.join()


def _pump(process: subprocess.Popen[str], served: threading.Event, address: list[str]) -> None:
    """What it tells, passed on; `served` is set when it is at work or over."""
    assert process.stderr is not None
    for line in process.stderr:
        sys.stderr.write(line)
        if "metrics at " in line:
            address[0] = line.split()[-1]
            served.set()
    served.set()


def _wait_until(moment_s: float) -> None:
    time.sleep(max(moment_s - time.monotonic(), 0))


def _say(text: str) -> None:
    sys.stderr.write(f"demo: {text}\n")


def check(out: Path) -> list[tuple[str, str]]:
    """What is in OUT, in words.

    Raises:
        DemoError: it is not what it should be.
    """
    health = json.loads((out / "run.json").read_text(encoding="utf-8"))["live"]["health"]
    for name, source in health["sources"].items():
        _expect(source["results"] > 10, f"{name}: {source['results']} results")
    rear = health["sources"]["rear"]
    _expect(rear["restarts"] >= 1 and rear["cold_starts"].get("restart"), "rear: it did not come back")
    _expect(not health["sources"]["front"]["restarts"], "front: it died, too")
    counts, schemas, classes = _read_log(out / "masks.mcap")
    for name, source in health["sources"].items():
        masks = counts[f"/segmentation/{name}/mask"]
        _expect(0 < masks <= source["results"], f"{name}: {masks} masks of {source['results']} results")
        _expect(counts[f"/segmentation/{name}/label_info"] == 1, f"{name}: no label_info")
    metrics = (out / "metrics.txt").read_text(encoding="utf-8")
    _expect('tdnet_restarts_total{source="rear"} ' in metrics, "the metrics do not know of the rear camera")
    files = [path for path in sorted(out.iterdir()) if path.is_file()]
    _expect(all(path.stat().st_size for path in files), "there is an empty file")
    return [
        ("log", ", ".join(f"{topic} {count} ({schemas[topic]})" for topic, count in sorted(counts.items()))),
        ("classes seen", ", ".join(f"{index}: {share:.0%}" for index, share in classes)),
        ("files", ", ".join(f"{path.name} {path.stat().st_size / 1e3:.0f} kB" for path in files)),
    ]


def _expect(holds: object, otherwise: str) -> None:
    if not holds:
        raise DemoError(otherwise)


def _read_log(path: Path) -> tuple[Counter[str], dict[str, str], list[tuple[int, float]]]:
    """Messages by topic, types by topic, and the commonest classes; by the `mcap` library alone."""
    counts: Counter[str] = Counter()
    schemas: dict[str, str] = {}
    pixels: Any = np.zeros(256, dtype=np.int64)
    with path.open("rb") as file:
        for schema, channel, message in make_reader(file).iter_messages():
            counts[channel.topic] += 1
            schemas[channel.topic] = schema.name if schema else "?"
            if channel.topic.endswith("/mask"):
                pixels += np.bincount(_mono8(message.data), minlength=256)
    common = np.argsort(pixels)[::-1][:5]
    return counts, schemas, [(int(index), pixels[index] / pixels.sum()) for index in common if pixels[index]]


def _mono8(data: bytes) -> Any:
    """The pixels of a sensor_msgs/msg/Image in CDR: stamp, frame_id, height, width, …, and the picture at the end."""
    (length,) = struct.unpack_from("<I", data, 12)
    at = 16 + length + -length % 4
    height, width = struct.unpack_from("<II", data, at)
    return np.frombuffer(data[-height * width :], dtype=np.uint8)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: python examples/live_demo/demo.py X.plan STREET.mp4 OUT")
    try:
        run(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        for row in check(Path(sys.argv[3])):
            table.add_row(*row)
        Console(markup=False, highlight=False).print(table)
    except (DemoError, OSError, subprocess.TimeoutExpired) as error:
        sys.exit(f"demo-live: {error}")
