"""From a bundle to engines on a GPU, with stand-ins for TensorRT and the GPU."""

from __future__ import annotations

import hashlib
import struct
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.runtime.gpu.fake_device import FakeDevice
from tests.runtime.gpu.fake_engine import FakeEngine, expected_labels, fake_engines

from tdnet_runtime.backends import open_backend, tensorrt, tensorrt_rtx, trt_bundle
from tdnet_runtime.bundle import Bundle, write_bundle
from tdnet_runtime.device_stream import DeviceStream
from tdnet_runtime.errors import BackendError, OptionError
from tdnet_runtime.manifest import EngineMember, EngineSpec, Manifest
from tdnet_runtime.preflight import platform_name
from tdnet_runtime.segmenter import Segmenter

VERSION = "1.7.1.116"
HEADER = b"vtrt" + struct.pack("<LQQ", 0, 2, 1000) + bytes((1, 7, 1, 116))


class Logger:
    """ILogger."""

    Severity = SimpleNamespace(INTERNAL_ERROR=0, ERROR=1, WARNING=2)

    def __init__(self) -> None:
        """As TensorRT's."""


@pytest.fixture
def device() -> FakeDevice:
    return FakeDevice()


@pytest.fixture
def rtx(
    monkeypatch: pytest.MonkeyPatch, device: FakeDevice, tiny_manifest: Manifest
) -> dict[bytes, FakeEngine | None]:
    """TensorRT-RTX on a fake GPU; which engine an engine's bytes give."""
    engines: dict[bytes, FakeEngine | None] = {
        HEADER + e.graph.encode(): e for e in fake_engines(device, tiny_manifest)
    }

    class Runtime:
        def __init__(self, logger: Any) -> None:
            self.logger = logger

        def deserialize_cuda_engine(self, data: bytes) -> FakeEngine | None:
            if engines[data] is None:
                self.logger.log(1, "unsupported device")
            return engines[data]

    module: Any = ModuleType("tensorrt_rtx")
    module.__version__ = VERSION
    module.Builder, module.ILogger, module.Runtime = object, Logger, Runtime
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", module)
    monkeypatch.setattr(trt_bundle, "open_device", lambda: device)
    # The stand-in's engines are whole ones: see test_trt_engine.py for the adapter.
    monkeypatch.setattr("tdnet_runtime.gpu.trt_engine.TrtEngine", lambda runtime, graph, engine: engine)
    return engines


@pytest.fixture
def with_engines(
    tiny_manifest: Manifest, tiny_members: Mapping[str, bytes], tmp_path: Path
) -> Callable[..., Path]:
    """with_engines(header=…, capabilities=…): a bundle with engines of its FP32 graphs."""

    def make(*, header: bytes = HEADER, capabilities: tuple[str, ...] = ("9.0",)) -> Path:
        members, built = dict(tiny_members), {}
        for graph in tiny_manifest.graphs:
            stem = f"engines/tensorrt-rtx/key/{graph.name}"
            members |= {f"{stem}.layers": b"{}", f"{stem}.log": b""}
            members[f"{stem}.engine"] = header + graph.name.encode()
            built[graph.name] = EngineMember(
                engine=f"{stem}.engine",
                layers=f"{stem}.layers",
                log=f"{stem}.log",
                graph_sha256=hashlib.sha256(members[graph.members["fp32"]]).hexdigest(),
                build_seconds=1.0,
                half_share=0.0,
            )
        spec = EngineSpec(
            backend="tensorrt-rtx",
            key="key",
            precision="fp32",
            product_version=VERSION,
            compute_capabilities=capabilities,
            platform=platform_name(),
            options={},
            graphs=built,
        )
        path = tmp_path / "engines.plan"
        write_bundle(path, msgspec.structs.replace(tiny_manifest, engines=(spec,)), members)
        return path

    return make


def frame(byte: int) -> np.ndarray:
    return np.full((4, 8, 3), byte, np.uint8)


def test_a_bundle_with_engines_runs(
    rtx: dict[bytes, FakeEngine | None], device: FakeDevice, with_engines: Callable[..., Path]
) -> None:
    with Segmenter.open(with_engines(), backend="tensorrt-rtx") as segmenter:
        assert segmenter.backend.name == "tensorrt-rtx"
        assert segmenter.backend.description == f"TensorRT-RTX {VERSION}, fake GPU, fp32"
        stream = segmenter.stream()
        for index in range(5):
            labels = stream.push(frame(index)).labels
            assert np.array_equal(labels, expected_labels(list(range(index + 1)), 2, (4, 8)))
        on_device = segmenter.stream(labels="device", cuda_stream=device.foreign_stream().handle)
        assert isinstance(on_device, DeviceStream)
        on_device.push(frame(1))
        with pytest.raises(OptionError, match="cuda_stream is a str"):
            segmenter.stream(cuda_stream="mine")
    assert device.alive == set()


def test_auto_takes_it(rtx: object, with_engines: Callable[..., Path]) -> None:
    with Segmenter.open(with_engines()) as segmenter:
        assert segmenter.backend.name == "tensorrt-rtx"


def test_auto_passes_over_a_bundle_without_engines(
    rtx: object, device: FakeDevice, made_up_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says how to make some. The bundle's graphs are made up, so no other backend loads it either."""
    monkeypatch.setattr(device, "compute_capability", "8.9")
    with Bundle.open(made_up_bundle) as bundle, pytest.raises(BackendError) as caught:
        open_backend("auto", bundle)
    assert "tensorrt-rtx: TensorRT-RTX engines were asked, the bundle has none" in str(caught.value)
    assert "tdnet-export --rebuild" in str(caught.value)


def test_a_thread_of_its_own(rtx: object, with_engines: Callable[..., Path]) -> None:
    """A stream works in a thread where the GPU is not current; the fake notices where it is not made so."""
    results: list[int] = []
    with Segmenter.open(with_engines(), backend="tensorrt-rtx") as segmenter, segmenter.stream() as stream:
        thread = threading.Thread(target=lambda: results.append(stream.push(frame(3)).frame_index))
        thread.start()
        thread.join()
    assert results == [0]


def test_an_engine_of_another_version_is_not_deserialised(
    rtx: dict[bytes, FakeEngine | None],
    device: FakeDevice,
    with_engines: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(device, "compute_capability", "8.9")
    foreign = HEADER[:-1] + bytes([7])
    with pytest.raises(
        BackendError,
        match=r"was built by TensorRT-RTX 1.7.1.7, the manifest names TensorRT-RTX 1.7.1.116; build it",
    ):
        Segmenter.open(with_engines(header=foreign, capabilities=("8.9",)), backend="tensorrt-rtx")


def test_an_engine_that_tensorrt_refuses(
    rtx: dict[bytes, FakeEngine | None], device: FakeDevice, with_engines: Callable[..., Path]
) -> None:
    """With what it logged; portable engines on a device that it does not name get a hint. Nothing is left."""
    for engine in list(rtx.values())[2:]:
        assert engine is not None
        engine.close()  # as if they had never been made
    rtx[list(rtx)[2]] = None
    with pytest.raises(
        BackendError,
        match=r"cannot load the engine of graph 'subnet2': unsupported device \(TensorRT-RTX 1\.7 runs on "
        r".*fake GPU has 9.0: use the backend tensorrt or cuda",
    ):
        Segmenter.open(with_engines(capabilities=()), backend="tensorrt-rtx")
    assert device.alive == set()


@pytest.mark.parametrize("module", [tensorrt, tensorrt_rtx])
def test_a_package_that_is_missing(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    name = {tensorrt: "tensorrt", tensorrt_rtx: "tensorrt_rtx"}[module]
    monkeypatch.setitem(sys.modules, name, None)
    assert "is not installed (" in module.unavailable()
    assert ("pip install tensorrt-rtx" in module.unavailable()) == (module is tensorrt_rtx)
    monkeypatch.setitem(sys.modules, name, ModuleType(name))  # stubs, leftovers
    assert "is there but empty" in module.unavailable()


def test_a_library_that_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str) -> None:
        raise OSError("libnvinfer.so.10: cannot open shared object file")

    monkeypatch.setattr(trt_bundle.importlib, "import_module", fails)
    assert "does not load (libnvinfer.so.10" in (tensorrt.unavailable() or "")


def test_no_gpu_and_no_cuda_core(rtx: object, monkeypatch: pytest.MonkeyPatch) -> None:
    if trt_bundle.importlib.util.find_spec("cuda") is None:
        assert "cuda-core is not installed" in (tensorrt_rtx.unavailable() or "")
        monkeypatch.setattr(trt_bundle.importlib.util, "find_spec", lambda name: object())
    assert tensorrt_rtx.unavailable() is None

    def absent() -> None:
        raise BackendError("looking for a GPU: no driver")

    monkeypatch.setattr(trt_bundle, "open_device", absent)
    assert tensorrt_rtx.unavailable() == (
        "no GPU can be used here (looking for a GPU: no driver); check the driver with nvidia-smi"
    )
    monkeypatch.setattr(trt_bundle.importlib.util, "find_spec", lambda name: None)
    assert "pip install 'tdnet-deploy[gpu]'" in (tensorrt_rtx.unavailable() or "")
