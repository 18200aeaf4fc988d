"""The GPU runtime on a GPU: written for whoever has one for an hour. Without one, it runs on the fake where it can.

    python -m pytest -m gpu tests/runtime/gpu -v

The first part needs cuda-core only: its "engines" are copies on the device, which can be captured and foretold
(labels begin with the bytes of the oldest frame remembered). The second part runs ONNX Runtime's CUDA provider.
The third needs TDNET_GPU_PLAN, a bundle with engines for this GPU and FP32 graphs, and compares with the CPU.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.runtime.gpu.conftest import SIZE_HW, device_stream, host_stream
from tests.runtime.gpu.fake_device import FakeDevice, Work

from tdnet_runtime.backends import cuda
from tdnet_runtime.backends.trt_bundle import no_device
from tdnet_runtime.errors import BackendError
from tdnet_runtime.gpu.backend import GpuBackend
from tdnet_runtime.gpu.engine import EngineTensor
from tdnet_runtime.manifest import GraphSpec, Manifest, PathSpec
from tdnet_runtime.media.scene import render
from tdnet_runtime.segmenter import Segmenter

FRAMES = 11
Copy = Callable[[int, int, int, int], None]


def real_device() -> Any:
    """The GPU, or a skip that says why there is none."""
    reason = no_device()
    if reason is not None:
        pytest.skip(reason)
    from tdnet_runtime.gpu.cuda_device import CudaDevice

    return CudaDevice()


def real_copy(stream: int, target: int, source: int, nbytes: int) -> None:
    from cuda.bindings import driver

    (status,) = driver.cuMemcpyDtoDAsync(target, source, nbytes, stream)
    assert status == driver.CUresult.CUDA_SUCCESS


def fake_copy(device: FakeDevice) -> Copy:
    def copy(stream: int, target: int, source: int, nbytes: int) -> None:
        writes, reads = device.memory_at(target & ~0xFF), device.memory_at(source)
        start = target & 0xFF

        def action() -> None:
            writes.data[start : start + nbytes] = reads.data[:nbytes]

        device.call("copy")
        device.stream_at(stream).put(Work("copy", [reads], [writes], action))

    return copy


class CopyEngine:
    """A sub-network copies the image's first bytes into all its outputs.

    An APM's labels are the first bytes of the oldest slot's v, then those of `value`.
    """

    activation_bytes = 1000

    def __init__(self, spec: GraphSpec, path: PathSpec, copy: Copy) -> None:
        self.graph = spec.name
        self.sizes = {tensor.name: tensor.nbytes for tensor in (*spec.inputs, *spec.outputs)}
        self.tensors = tuple(
            EngineTensor(t.name, t.shape, t.dtype, t in spec.inputs) for t in (*spec.inputs, *spec.outputs)
        )
        self.path, self.copy = path, copy

    def create_context(self) -> CopyContext:
        return CopyContext(self)

    def close(self) -> None:
        """Nothing to release."""


class CopyContext:
    """See `CopyEngine`."""

    def __init__(self, engine: CopyEngine) -> None:
        self.engine = engine
        self.at: dict[str, int] = {}

    def set_activation_memory(self, address: int, nbytes: int) -> None:
        assert address % 256 == 0

    def set_address(self, tensor: str, address: int) -> None:
        self.at[tensor] = address

    def obstacle_to_capture(self, stream: int) -> None:
        """None is known."""

    def enqueue(self, stream: int) -> None:
        sizes, copy = self.engine.sizes, self.engine.copy
        if "image" in self.at:
            for tensor in self.engine.tensors:
                if not tensor.is_input:
                    nbytes = min(sizes[tensor.name], sizes["image"])
                    copy(stream, self.at[tensor.name], self.at["image"], nbytes)
        else:
            oldest = f"slot{self.engine.path.reads[0]}_v"
            first = sizes[oldest]
            copy(stream, self.at["labels"], self.at[oldest], first)
            copy(stream, self.at["labels"] + first, self.at["value"], sizes["labels"] - first)

    def close(self) -> None:
        """Nothing to release."""


def frame(index: int) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 256, (*SIZE_HW, 3)).astype(np.uint8)


def expected(index: int, manifest: Manifest) -> np.ndarray:
    """Labels of frame `index` since a reset."""
    paths = len(manifest.paths)
    now, size = frame(index).reshape(-1), SIZE_HW[0] * SIZE_HW[1]
    if paths == 1:
        return now[:size].reshape(SIZE_HW)
    first = next(tensor.nbytes for tensor in manifest.state.entry if tensor.name == "v")
    oldest = index - (paths - 1)
    then = frame(oldest).reshape(-1)[:first] if oldest >= 0 else np.zeros(first, np.uint8)
    return np.concatenate([then, now[: size - first]]).reshape(SIZE_HW)


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.gpu)])
def made(request: pytest.FixtureRequest, manifest: Manifest) -> Iterator[GpuBackend]:
    """A backend with copying engines, on the fake or on the GPU."""
    device: Any = FakeDevice() if request.param == "fake" else real_device()
    copy = fake_copy(device) if request.param == "fake" else real_copy
    engines = []
    for graph in manifest.graphs:
        (path,) = (p for p in manifest.paths if graph.name in (p.subnet, p.apm))
        engines.append(CopyEngine(graph, path, copy))
    backend = GpuBackend(device, engines, manifest, name="tensorrt", precision="fp32", description="copies")
    yield backend
    backend.close()


def test_schedule_and_capture(made: GpuBackend, manifest: Manifest) -> None:
    with host_stream(made, manifest) as stream:
        for _ in range(2):
            for index in range(FRAMES):
                result = stream.push(frame(index))
                assert result.captured is True
                assert np.array_equal(result.labels, expected(index, manifest))
            stream.reset()


def test_two_streams(made: GpuBackend, manifest: Manifest) -> None:
    with host_stream(made, manifest) as one, host_stream(made, manifest) as other:
        for index in range(FRAMES):
            assert np.array_equal(one.push(frame(index)).labels, expected(index, manifest))
            if index % 2:
                labels = other.push(frame(index // 2)).labels
                assert np.array_equal(labels, expected(index // 2, manifest))


def test_snapshots(made: GpuBackend, manifest: Manifest) -> None:
    with host_stream(made, manifest) as stream:
        for index in range(5):
            stream.push(frame(index))
        snapshot = stream.snapshot()
        stream.push(frame(50))
        stream.restore(snapshot)
        for index in range(5, FRAMES):
            assert np.array_equal(stream.push(frame(index)).labels, expected(index, manifest))


def test_many_frames_without_waiting(made: GpuBackend, manifest: Manifest) -> None:
    with device_stream(made, manifest) as stream:
        for index in range(FRAMES):
            stream.push(frame(index))
        stream.synchronize()
        assert np.array_equal(stream.tensor("labels")[0], expected(FRAMES - 1, manifest))


@pytest.mark.gpu
def test_a_push_takes_no_memory(manifest: Manifest) -> None:
    device = real_device()
    from cuda.bindings import driver

    engines = [CopyEngine(g, _path_of(manifest, g), real_copy) for g in manifest.graphs]
    backend = GpuBackend(device, engines, manifest, name="x", precision="fp32", description="")
    with host_stream(backend, manifest) as stream:
        stream.push(frame(0))
        with device.current():
            before = driver.cuMemGetInfo()[1]
        for index in range(200):
            stream.push(frame(index))
        with device.current():
            assert driver.cuMemGetInfo()[1] == before


@pytest.mark.gpu
def test_a_capture_that_is_broken_is_survived() -> None:
    """The process lives, and the stream works: cuda-core 1.2's own GraphBuilder ends it here."""
    device = real_device()
    from cuda.bindings import driver

    with device.current():
        stream = device.create_stream()
        memory = device.allocate(256, name="memory", stream=stream)
        for breaking in (lambda: driver.cuCtxSynchronize(), lambda: stream.sync()):

            def work(breaking: Callable[[], object] = breaking) -> None:
                stream.fill(memory, 1)
                breaking()

            with pytest.raises(BackendError):
                stream.capture(work)
            stream.fill(memory, 2)
            stream.sync()
        graph = stream.capture(lambda: stream.fill(memory, 3))
        stream.launch(graph)
        stream.sync()
        for thing in (graph, memory, stream):
            thing.close()


def _path_of(manifest: Manifest, graph: GraphSpec) -> PathSpec:
    (path,) = (p for p in manifest.paths if graph.name in (p.subnet, p.apm))
    return path


@pytest.mark.gpu
@pytest.mark.parametrize("mine", ["blocking", "default"])
def test_the_default_stream_is_used_while_graphs_are_captured(manifest: Manifest, mine: str) -> None:
    """By another thread, as any application may; the caller's stream waits for it, or is it."""
    device = real_device()
    from cuda.bindings import driver

    with device.current():
        status, made = driver.cuStreamCreate(driver.CUstream_flags.CU_STREAM_DEFAULT)
        assert status == driver.CUresult.CUDA_SUCCESS
        status, (apart, more) = zip(*(driver.cuMemAlloc(64) for _ in range(2)), strict=True)
        assert set(status) == {driver.CUresult.CUDA_SUCCESS}

    def elsewhere() -> None:
        with device.current():
            real_copy(0, int(apart), int(more), 64)

    def copy(stream: int, target: int, source: int, nbytes: int) -> None:
        real_copy(stream, target, source, nbytes)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(elsewhere).result()

    engines = [CopyEngine(g, _path_of(manifest, g), copy) for g in manifest.graphs]
    backend = GpuBackend(device, engines, manifest, name="x", precision="fp32", description="")
    stream = int(made) if mine == "blocking" else int(driver.CU_STREAM_LEGACY)
    with host_stream(backend, manifest, cuda_stream=stream) as opened:
        for index in range(FRAMES):
            result = opened.push(frame(index))
            assert result.captured is True
            assert np.array_equal(result.labels, expected(index, manifest))
    with device.current():
        for memory in (apart, more):
            driver.cuMemFree(memory)
        driver.cuStreamDestroy(made)


@pytest.mark.gpu
@pytest.mark.parametrize("library", ["torch", "cupy"])
def test_arrays_of_other_libraries(manifest: Manifest, library: str) -> None:
    """Frames from, and labels to, another library on a stream of its own; by DLPack in order without a wait.

    The array interface is read on a third stream, which nothing orders after ours.
    """
    device = real_device()
    xp: Any = pytest.importorskip(library)
    if library == "torch" and not xp.cuda.is_available():
        pytest.skip("this torch has no CUDA")
    engines = [CopyEngine(g, _path_of(manifest, g), real_copy) for g in manifest.graphs]
    backend = GpuBackend(device, engines, manifest, name="x", precision="fp32", description="")
    torch = library == "torch"
    theirs, third = (xp.cuda.Stream() if torch else xp.cuda.Stream(non_blocking=True) for _ in range(2))
    inside, apart = (xp.cuda.stream(each) if torch else each for each in (theirs, third))
    with inside, device_stream(backend, manifest, cuda_stream=theirs) as stream:
        for index in range(FRAMES):
            given = xp.as_tensor(frame(index), device="cuda") if torch else xp.asarray(frame(index))
            labels = stream.push(given).labels
            copy = xp.from_dlpack(labels).clone() if torch else xp.from_dlpack(labels).copy()
            with apart:
                again = xp.as_tensor(labels, device="cuda").clone() if torch else xp.asarray(labels).copy()
                third.synchronize()
            for seen in (copy, again):
                read = seen.cpu().numpy() if torch else xp.asnumpy(seen)
                assert np.array_equal(read, expected(index, manifest))


# ONNX Runtime's CUDA provider


@pytest.mark.gpu
def test_the_cuda_backend(request: pytest.FixtureRequest) -> None:
    reason = cuda.unavailable()
    if reason is not None:
        pytest.skip(reason)
    for needed in ("torch", "onnx"):
        pytest.importorskip(needed, reason="it exports a bundle")
    tiny_bundle = request.getfixturevalue("tiny_bundle")
    _assert_agrees_with_the_cpu(tiny_bundle("td4-psp18"), "cuda", precision="fp32")


# Engines


@pytest.mark.gpu
@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt-rtx", "cuda"])
def test_a_bundle_for_this_gpu(backend: str) -> None:
    path = os.environ.get("TDNET_GPU_PLAN")
    if path is None:
        pytest.skip("TDNET_GPU_PLAN names no bundle")
    _assert_agrees_with_the_cpu(Path(path), backend, precision=None)


def _assert_agrees_with_the_cpu(path: Path, name: str, *, precision: str | None) -> None:
    """Labels of consecutive frames, cold ones included; captured, and the same on the plain path."""
    reason = importlib.import_module(f"tdnet_runtime.backends.{name.replace('-', '_')}").unavailable()
    if reason is not None:
        pytest.skip(reason)
    with (
        Segmenter.open(path, backend=name, precision=precision) as ours,
        Segmenter.open(path, backend="onnxruntime") as theirs,
    ):
        size = ours.manifest.input
        frames = [render(t, height=size.height, width=size.width) for t in range(FRAMES)]
        with ours.stream() as one, theirs.stream() as other:
            for shot in frames:
                result, reference = one.push(shot), other.push(shot)
                assert result.captured is True
                agreement = float((result.labels == reference.labels).mean())
                assert agreement >= 0.96, f"frame {result.frame_index}: {agreement:.4f} of the labels agree"
