"""Events, frames and labels on the fake device, whose rules of order are a real one's."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from tests.benchmarks.fake_gpu import SPAN_NS, TOTAL, FakeGpu

from tdnet_bench.sides import gpu as gpu_module
from tdnet_bench.sides.gpu import Gpu, Shuttle, Stopwatch
from tdnet_runtime.errors import BackendError

IMAGE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


@pytest.fixture
def gpu() -> FakeGpu:
    return FakeGpu()


def test_a_stopwatch_tells_the_time_between_its_events(gpu: FakeGpu) -> None:
    with gpu.stream() as stream, Stopwatch(gpu) as watch:
        for _ in range(2):  # again and again
            with watch.timing(stream.handle):
                pass
            assert watch.ns() == SPAN_NS
    assert gpu.events.events == set()
    assert gpu.device.alive == set()


def test_a_frame_goes_there_and_comes_back(gpu: FakeGpu) -> None:
    with gpu.stream() as stream, Shuttle(gpu, stream) as shuttle:
        first = shuttle.upload(IMAGE)
        np.testing.assert_array_equal(shuttle.download(first), IMAGE)
        second = shuttle.upload(IMAGE[::-1].copy())
        assert second.memory is first.memory  # no new one for each frame
        back = shuttle.download(second)
        shuttle.upload(IMAGE)
        np.testing.assert_array_equal(back, IMAGE[::-1])  # it is the caller's own
        other = shuttle.upload(IMAGE[:2].copy())
        assert (other.shape, other.memory.nbytes) == ((2, 6, 3), 36)
    assert gpu.device.alive == set()


def test_free_memory_is_what_the_driver_says(gpu: FakeGpu) -> None:
    assert gpu.free_bytes() == TOTAL
    with gpu.stream() as stream, Shuttle(gpu, stream) as shuttle:
        shuttle.upload(IMAGE)
        assert gpu.free_bytes() == TOTAL - IMAGE.nbytes


def test_a_failure_of_the_driver_is_named(gpu: FakeGpu) -> None:
    with gpu.stream() as stream, Stopwatch(gpu) as watch:
        with watch.timing(stream.handle):
            pass  # nobody has waited
        with pytest.raises(BackendError, match="cuEventElapsedTime: the CUDA driver reports 600"):
            gpu.driver("cuEventElapsedTime", *watch._events)


def test_no_gpu_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_module, "no_device", lambda: "no GPU can be used here")
    with pytest.raises(BackendError, match="no GPU can be used here"):
        Gpu.open()


def test_the_driver_has_what_is_called() -> None:
    driver = pytest.importorskip("cuda.bindings.driver")
    for name in (
        "cuEventCreate", "cuEventRecord", "cuEventSynchronize", "cuEventElapsedTime", "cuEventDestroy",
        "cuCtxSynchronize", "cuMemGetInfo",
    ):  # fmt: skip
        assert callable(getattr(driver, name))
    assert int(driver.CUresult.CUDA_SUCCESS) == 0


def test_the_stream_of_pytorch_is_the_threads_current_one() -> None:
    torch = SimpleNamespace(cuda=SimpleNamespace(current_stream=lambda: SimpleNamespace(cuda_stream=7)))
    assert Gpu(FakeGpu().device, None).stream_of_torch(torch) == 7
