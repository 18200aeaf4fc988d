"""What a frame costs in memory, and what an import brings: a robot runs for days."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tdnet_runtime.media.scene import render
from tdnet_runtime.segmenter import Segmenter

KIB, MIB = 1 << 10, 1 << 20
SMALL_SIZE = (192, 384)
PUSH_OVERHEAD = 400 * KIB
"""Arrays of the cells in which classes meet, while labels are made of them (`backends/label_tail.py`); and 50 KiB else."""
GROWTH = 2 * MIB
"""Allocators return pages late and in chunks; a leak of one label map a frame would be 28 MiB."""


@pytest.fixture(scope="module")
def small_plan(tiny_checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """td2-fa18 of a few channels at the small size: real label maps and buffers, and quick."""
    torch = pytest.importorskip("torch")
    from tdnet_export.options import ExportOptions
    from tdnet_export.pipeline import bundle_from_checkpoint

    out = tmp_path_factory.mktemp("small") / "td2-fa18.plan"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several wait for each other, and long so on a busy machine
    checkpoint = tiny_checkpoint("td2-fa18")
    bundle_from_checkpoint(ExportOptions(checkpoint=checkpoint, out=out, size_hw=SMALL_SIZE))
    torch.set_num_threads(threads)
    return out


@pytest.fixture(params=["onnxruntime", "openvino"])
def engine(request: pytest.FixtureRequest) -> str:
    """A CPU's, each that is installed."""
    name: str = request.param
    pytest.importorskip(name)
    return name


@pytest.fixture
def traced() -> Iterator[None]:
    """Python's and NumPy's allocations are counted."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.parametrize("size_hw", [SMALL_SIZE, (361, 641), (97, 131)], ids=["its own", "larger", "smaller"])
@pytest.mark.parametrize("given", [False, True], ids=["new labels", "out"])
@pytest.mark.usefixtures("traced")
def test_a_push_allocates_its_labels_and_little_else(
    small_plan: Path, size_hw: tuple[int, int], given: bool
) -> None:
    frame = render(0, height=size_hw[0], width=size_hw[1])
    out = np.empty(size_hw, np.uint8) if given else None
    allowed = PUSH_OVERHEAD + (0 if given else size_hw[0] * size_hw[1])
    with Segmenter.open(small_plan, threads=1) as segmenter, segmenter.stream() as stream:
        for _ in range(3):  # imports and caches
            stream.push(frame, out=out)
        for _ in range(4):  # cold ones are behind; both paths
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            stream.push(frame, out=out)
            assert tracemalloc.get_traced_memory()[1] - before <= allowed


@pytest.mark.usefixtures("traced")
def test_the_measurement_sees_what_it_should(small_plan: Path) -> None:
    """One copy of a larger frame would be too much."""
    frame = render(0, height=361, width=641)
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    frame.copy()
    assert tracemalloc.get_traced_memory()[1] - before > 361 * 641 + PUSH_OVERHEAD


RSS_LOOP = """
import os, sys
import numpy as np
from tdnet_runtime import Segmenter
from tdnet_runtime.media.scene import render

def rss_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

height, width = int(sys.argv[2]), int(sys.argv[3])
frames = [render(t, height=height, width=width) for t in range(5)]
with Segmenter.open(sys.argv[1], backend=sys.argv[4], threads=1) as segmenter, segmenter.stream() as stream:
    seen = []
    for index in range(500):
        if index % 120 == 0:  # a new video now and then
            stream.reset()
        stream.push(frames[index % 5])
        seen.append(rss_bytes())
print(seen[100], max(seen[100:]), seen[-1])
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
@pytest.mark.parametrize("size_hw", [SMALL_SIZE, (240, 427)], ids=["its own", "resized"])
def test_memory_is_flat_over_500_frames(
    small_plan: Path, child_env: dict[str, str], size_hw: tuple[int, int], engine: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RSS_LOOP, small_plan, *map(str, size_hw), engine],
        env=child_env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    settled, most, last = map(int, done.stdout.split())
    assert most - settled < GROWTH
    assert last - settled < GROWTH


def test_opening_and_closing_leaves_nothing(small_plan: Path, child_env: dict[str, str], engine: str) -> None:
    """Segmenters and streams, many times over: neither memory nor open files pile up."""
    times = {"onnxruntime": 60, "openvino": 36}[engine]  # OpenVINO compiles for a third of a second
    loop = """
import os, statistics, sys
import numpy as np
from tdnet_runtime import Segmenter
frame = np.zeros((192, 384, 3), np.uint8)
seen = []
for _ in range(int(sys.argv[3])):
    with Segmenter.open(sys.argv[1], backend=sys.argv[2], threads=1) as segmenter:
        for _ in range(2):
            with segmenter.stream() as stream:
                stream.push(frame)
    with open("/proc/self/statm") as file:
        seen.append((int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE"), len(os.listdir("/proc/self/fd"))))
third = len(seen) // 3  # after the first; medians, since what was freed comes and goes by megabytes
settled, last = (statistics.median_low(rss for rss, _ in part) for part in (seen[third : 2 * third], seen[2 * third :]))
print(settled, last, seen[third][1], seen[-1][1])
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", loop, small_plan, engine, str(times)],
        env=child_env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    settled, last, files_before, files_after = map(int, done.stdout.split())
    assert last - settled < GROWTH
    assert files_after == files_before
