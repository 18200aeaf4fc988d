"""What can go wrong with outputs; docs/reliability.md has all kinds in a table."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from tests.runtime.sinks.conftest import make_result

from tdnet_runtime.errors import MediaError
from tdnet_runtime.sinks.registry import open_sink
from tdnet_runtime.sources.registry import open_source

ROOT = Path(__file__).parents[3]
HEAD = """
import os, resource, signal, sys
sys.path.insert(0, sys.argv[2])
import numpy as np
from tests.runtime.sinks.conftest import CLASSES, make_result
from tdnet_runtime.sinks.registry import open_sink
from tdnet_runtime.sinks.sink import SinkNetwork
sink = open_sink(sys.argv[1], SinkNetwork(name="n", digest="d", classes=CLASSES))
noise = np.random.default_rng(0).integers(0, 3, (64, 64), dtype=np.uint8)
"""
FULL = """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
for index, labels in enumerate((noise * 0, np.tile(noise, (4, 4)), noise * 0)):
    try:
        sink.write(make_result(index, size_hw=labels.shape, labels=labels))
    except Exception as error:
        print(type(error).__name__, error)
sink.close()
"""
KILLED = """
from pathlib import Path
sink.write(make_result(0))
sink.write(make_result(1))
Path.replace = lambda self, other: os.kill(os.getpid(), 9)
sink.write(make_result(2))
"""


def child(code: str, spec: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", HEAD + code, spec, str(ROOT)]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, env=os.environ)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("scheme", "purpose"), [("labels", "label images"), ("colors", "colour images")])
def test_a_disk_that_is_full_for_one_image(tmp_path: Path, scheme: str, purpose: str) -> None:
    """That one is lost, nothing of it stays, and the next one is written."""
    done = child(FULL, f"{scheme}:{tmp_path}/out")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"MediaError writing {purpose} stopped after 1, which are whole: File too large: ")
    assert names(tmp_path / "out") == ["000000.png", "000002.png"]
    assert all(cv2.imread(str(path)).shape == (64, 64, 3) for path in (tmp_path / "out").iterdir())


@pytest.mark.parametrize("scheme", ["labels", "colors"])
def test_a_kill_in_mid_image(tmp_path: Path, network: object, scheme: str) -> None:
    """What was finished is readable, and the next start leaves nothing temporary."""
    spec = f"{scheme}:{tmp_path}/out"
    assert child(KILLED, spec).returncode == -9
    assert names(tmp_path / "out") == ["000000.png", "000001.png", "000002.png.partial"]
    assert all(cv2.imread(str(tmp_path / "out" / f"00000{i}.png")).shape == (24, 32, 3) for i in range(2))
    with pytest.raises(MediaError, match="3 files of an earlier run are in it"):
        open_sink(spec, network)
    with open_sink(f"{spec}?overwrite=1", network) as sink:
        sink.write(make_result(7))
    assert names(tmp_path / "out") == ["000007.png"]


def test_two_runs_that_write_colours(tmp_path: Path, network: object) -> None:
    first, second = (open_sink(f"colors:{tmp_path}/c?overwrite=1", network) for _ in range(2))
    with first, second:
        first.write(make_result(0))
        with pytest.raises(MediaError, match="another run is writing there; name another folder"):
            second.write(make_result(1))
        first.write(make_result(2))
    assert names(tmp_path / "c") == ["000000.png", "000002.png"]


@pytest.mark.parametrize("suffix", ["mcap", "rrd", "mp4"])
def test_what_a_killed_run_left_is_replaced(tmp_path: Path, network: object, suffix: str) -> None:
    """The next run writes the same file, and nothing else lies beside it."""
    if suffix == "mcap":
        pytest.importorskip("mcap", reason="mcap is not installed")
    if suffix == "rrd":
        pytest.importorskip("rerun", reason="rerun-sdk is not installed")
    path = tmp_path / f"a.{suffix}"
    code = "for index in range(5):\n    sink.write(make_result(index))\nos.kill(os.getpid(), 9)"
    assert child(code, str(path)).returncode == -9
    assert names(tmp_path) in ([], [path.name])
    with path.open("ab") as file:
        file.write(bytes(100_000))  # as of a longer run
    with open_sink(str(path), network) as sink:
        for index in range(3):
            sink.write(make_result(index))
    assert names(tmp_path) == [path.name]
    assert 500 < path.stat().st_size < 100_000
    if suffix == "rrd":
        return
    with open_source(f"{path}?topic=/segmentation/mask" if suffix == "mcap" else str(path)) as source:
        assert len(list(source)) == 3


def test_a_viewer_that_comes_and_goes(network: object) -> None:
    """Foxglove: before, while and after somebody looks, results are written."""
    pytest.importorskip("foxglove", reason="foxglove-sdk is not installed")
    client = pytest.importorskip("websockets.sync.client", reason="websockets is not installed")
    with open_sink("foxglove://127.0.0.1:0", network) as sink:
        address = f"ws://127.0.0.1:{sink.port}"
        for _ in range(2):
            sink.write(make_result(0))
            with client.connect(address, subprotocols=["foxglove.sdk.v1"]) as viewer:
                assert "serverInfo" in viewer.recv(timeout=20)
                sink.write(make_result(1))
                viewer.socket.close()  # a cable that is pulled, not a goodbye
        sink.write(make_result(2))


def test_a_killed_view_leaves_its_port_free(network: object) -> None:
    """Foxglove: nothing of it stays, and the next run takes the same port."""
    pytest.importorskip("foxglove", reason="foxglove-sdk is not installed")
    code = "sink.write(make_result(0))\nprint(sink.port, flush=True)\nos.kill(os.getpid(), 9)"
    done = child(code, "foxglove://127.0.0.1:0")
    assert done.returncode == -9
    with open_sink(f"foxglove://127.0.0.1:{int(done.stdout)}", network) as sink:
        sink.write(make_result(0))
        assert sink.port == int(done.stdout)
