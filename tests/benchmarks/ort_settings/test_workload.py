"""What is timed is a frame as the runtime has it: the same buffers give the labels of its stream."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tdnet_bench.inputs.footage import SceneFootage
from tdnet_bench.ort_settings.workload import workload_of
from tdnet_runtime import Segmenter

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")


@pytest.mark.parametrize(
    ("network", "graphs", "frames"),
    [("td4-psp18", ["subnet1", "apm1"], 9), ("td2-fa18", ["subnet1", "apm1"], 5), ("psp101", ["psp101"], 3)],
)
def test_it_is_a_warm_frame_of_path_1(
    tiny_bundle: Callable[[str], Path], network: str, graphs: list[str], frames: int
) -> None:
    with Segmenter.open(tiny_bundle(network), backend="onnxruntime", threads=1) as segmenter:
        workload = workload_of(segmenter)
        size = segmenter.manifest.input
        footage = SceneFootage(height=size.height, width=size.width, count=frames)
        footage.render()
        with segmenter.stream() as stream:
            results = [stream.push(frame.image) for frame in footage.frames(frames)]
        assert list(workload.graphs) == [name for name, _ in workload.bindings] == graphs
        assert all(
            data == segmenter.bundle.read(f"graphs/fp32/{name}.onnx")
            for name, data in workload.graphs.items()
        )
    assert (results[-1].path, results[-1].cold) == (1, False)
    assert np.array_equal(workload.labels[0], results[-1].labels)
    buffers = workload.bindings[-1][1]
    if network != "psp101":
        assert buffers["warm"].host is not None
        assert buffers["warm"].host == 1
        slots = [name for name in buffers if name.startswith("slot")]
        assert slots
        assert all(np.any(buffers[name].dump()) for name in slots)
