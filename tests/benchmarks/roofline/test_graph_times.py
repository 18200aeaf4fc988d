from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tdnet_bench.roofline.limits import GraphClock, graph_times_ms
from tdnet_runtime import Segmenter
from tdnet_runtime.memory import StreamMemory


class Clock:
    """Each run takes one nanosecond more than the one before it."""

    def __init__(self) -> None:
        self.now, self.calls = 0, 0

    def __call__(self) -> int:
        self.calls += 1
        if self.calls % 2 == 0:
            self.now += self.calls // 2
        return self.now


@pytest.fixture(params=["td4-psp18", "psp101"])
def segmenter(request: pytest.FixtureRequest, tiny_bundle: Callable[[str], Path]) -> Any:
    pytest.importorskip("torch")
    with Segmenter.open(tiny_bundle(request.param), backend="onnxruntime", threads=1) as opened:
        yield opened


def frames(segmenter: Segmenter, count: int) -> list[Any]:
    size = segmenter.manifest.input
    values = np.random.default_rng(0)
    return [values.integers(0, 256, (size.height, size.width, 3), dtype=np.uint8) for _ in range(count)]


def test_the_median_is_of_runs_after_the_first_warm_round(segmenter: Segmenter) -> None:
    manifest = segmenter.manifest
    m = len(manifest.paths)
    start = manifest.state.cold_frames + m
    count = start + 2 * m
    times = graph_times_ms(segmenter.backend, manifest, frames(segmenter, count), clock=Clock())
    assert times.keys() == {graph.name for graph in manifest.graphs}
    graphs_of = [[g for g in (path.subnet, path.apm) if g] for path in manifest.paths]
    expected: dict[str, list[int]] = {}
    run = 0
    for frame in range(count):
        for graph in graphs_of[frame % m]:
            run += 1
            if frame >= start:
                expected.setdefault(graph, []).append(run)
    assert times == pytest.approx({graph: np.median(runs) / 1e6 for graph, runs in expected.items()})


def test_frames_come_out_as_without_the_clock(segmenter: Segmenter) -> None:
    manifest = segmenter.manifest
    m, cold = len(manifest.paths), manifest.state.cold_frames
    timer = GraphClock(segmenter.backend.session())
    memory = StreamMemory(manifest, timer)
    with segmenter.stream() as stream:
        for index, frame in enumerate(frames(segmenter, 2 * m)):
            memory.image.host[0] = frame  # type: ignore[index]
            memory.run(index % m + 1, cold=index < cold)
            assert np.array_equal(memory.labels.host[0], stream.push(frame).labels)  # type: ignore[index]
    memory.release()
    timer.close()
