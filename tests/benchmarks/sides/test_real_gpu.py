"""The benchmark's clock and memory on a GPU; written for whoever has one, see docs/gpu-check.md."""

from __future__ import annotations

import numpy as np
import pytest

from tdnet_bench.sides.gpu import Gpu, Shuttle, Stopwatch
from tdnet_bench.sides.pytorch_side import PyTorchSide
from tdnet_bench.sides.requests import parse_request
from tdnet_eval.networks import network_for
from tdnet_runtime.backends.trt_bundle import no_device
from tdnet_runtime.manifest import Manifest

pytestmark = pytest.mark.gpu
IMAGE = np.random.default_rng(0).integers(0, 256, (769, 1537, 3), dtype=np.uint8)


@pytest.fixture
def gpu() -> Gpu:
    reason = no_device()
    if reason is not None:
        pytest.skip(reason)
    return Gpu.open()


def test_a_frame_comes_back_and_takes_time_on_its_way(gpu: Gpu) -> None:
    with gpu.stream() as stream, Shuttle(gpu, stream) as shuttle, Stopwatch(gpu) as watch:
        with watch.timing(stream.handle):
            given = shuttle.upload(IMAGE)
        assert 1_000 < watch.ns() < 1_000_000_000
        np.testing.assert_array_equal(shuttle.download(given), IMAGE)


def test_memory_that_is_taken_is_no_longer_free(gpu: Gpu) -> None:
    with gpu.stream() as stream, gpu.device.current():
        before = gpu.free_bytes()
        memory = gpu.device.allocate(1 << 30, name="much", stream=stream)
        stream.sync()
        assert before - gpu.free_bytes() > 1 << 29
        memory.close()


@pytest.mark.parametrize("name", ["pytorch:cuda", "pytorch:cuda:fp16", "pytorch:cuda:fp16@device"])
def test_pytorchs_work_is_timed_and_its_labels_are_the_cpus(gpu: Gpu, manifest: Manifest, name: str) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip(f"this PyTorch {torch.__version__} sees no GPU")
    frames = np.random.default_rng(1).integers(0, 256, (4, 48, 48, 3), dtype=np.uint8)
    labels = {}
    for side_name, device in (("pytorch", None), (name, gpu)):
        side = PyTorchSide(
            parse_request(side_name, flag="--peer"),
            network_for(manifest, None),
            manifest=manifest,
            threads=1,
            weights="synthetic",
            gpu=device,
        )
        with side.stream() as push:
            masks = []
            for frame in frames:
                mask = push(side.feed(frame))
                masks.append(mask.labels)
                if device is not None:
                    assert (mask.device_compute_ns or 0) > 1_000
            labels[side_name] = np.asarray(masks)
    assert (labels[name] == labels["pytorch"]).mean() > 0.95  # made-up weights: classes are nearly tied
