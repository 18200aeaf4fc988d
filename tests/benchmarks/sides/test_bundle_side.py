from __future__ import annotations

from pathlib import Path

import numpy as np

from tdnet_bench.sides.bundle_side import GPU_BACKENDS, BundleSide
from tdnet_runtime import Segmenter
from tdnet_runtime.backends import BACKENDS


def test_it_is_what_a_robot_calls(engine: Path) -> None:
    frame = np.zeros((48, 48, 3), dtype=np.uint8)
    with Segmenter.open(engine, backend="fake", threads=1) as segmenter:
        side = BundleSide(segmenter)
        with side.stream() as push:
            first, second = push(frame), push(frame)
        with segmenter.stream() as stream:
            np.testing.assert_array_equal(first.labels, stream.push(frame).labels)
            np.testing.assert_array_equal(second.labels, stream.push(frame).labels)
        assert side.name == "fake:fp32"
        assert first.device_compute_ns is None
        spec = side.spec(camera=True)
    assert (spec.kind, spec.precision, spec.weights) == ("bundle", "fp32", "bundle")
    assert spec.clocks.keys() == {"host call", "camera to mask"}


def test_frames_of_their_own_size_come_back_at_it(engine: Path) -> None:
    with (
        Segmenter.open(engine, backend="fake", threads=1) as segmenter,
        BundleSide(segmenter).stream() as push,
    ):
        assert push(np.zeros((60, 80, 3), dtype=np.uint8)).labels.shape == (60, 80)


def test_gpu_backends_are_backends() -> None:
    assert set(BACKENDS) >= GPU_BACKENDS
