# ruff: noqa: N802  # the driver's own names
"""The benchmark's view of a GPU on the fake device: events with a time, sides that believe they are on it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from tests.runtime.gpu import fake_engine
from tests.runtime.gpu.fake_device import FakeDevice, FakeStream
from tests.runtime.gpu.fake_engine import fake_engines

from tdnet_bench.loops import lineup
from tdnet_bench.roofline import limits
from tdnet_bench.roofline.gpu_limits import gpu_ceilings
from tdnet_bench.sides import pytorch_side
from tdnet_bench.sides.gpu import Gpu
from tdnet_runtime.backends import cuda, tensorrt
from tdnet_runtime.backends.ort_bound import OrtBoundBackend
from tdnet_runtime.backends.ort_provider import Provider
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.errors import BackendError
from tdnet_runtime.gpu.backend import GpuBackend

CPU = Provider(name="CPUExecutionProvider", device="cpu")
SPAN_NS = 500_000
"""From any event to the next one of the device."""
TOTAL = 1 << 34
NOT_READY = 600


@dataclass(eq=False)
class TimedEvent:
    stream: FakeStream | None = None
    count: int = 0
    at: int | None = None


class FakeDriver:
    """What `Gpu` calls of `cuda.bindings.driver`."""

    def __init__(self, device: FakeDevice) -> None:
        self.device, self.now, self.events = device, 0, set[TimedEvent]()

    def cuEventCreate(self, flags: int) -> tuple[int, TimedEvent]:
        self.device.call("create timed event")
        assert flags == 0, "blocking and timeless events are others"
        event = TimedEvent()
        self.events.add(event)
        return 0, event

    def cuEventRecord(self, event: TimedEvent, handle: int) -> tuple[int]:
        self.device.call("record timed event")
        stream = self.device.stream_at(handle)

        def happen() -> None:
            self.now += SPAN_NS
            event.at = self.now

        event.at = None
        stream.put_marker(happen)
        event.stream, event.count = stream, stream.count
        return (0,)

    def cuEventSynchronize(self, event: TimedEvent) -> tuple[int]:
        self.device.call("wait for timed event")
        assert event.stream is not None
        event.stream.run_until(event.count)
        return (0,)

    def cuEventElapsedTime(self, start: TimedEvent, end: TimedEvent) -> tuple[int, float]:
        if start.at is None or end.at is None:
            return NOT_READY, 0.0
        return 0, (end.at - start.at) / 1e6

    def cuEventDestroy(self, event: TimedEvent) -> tuple[int]:
        self.events.remove(event)
        return (0,)

    def cuCtxSynchronize(self) -> tuple[int]:
        self.device.call("wait for all")
        return (0,)

    def cuMemGetInfo(self) -> tuple[int, int, int]:
        self.device.call("ask for memory")
        return 0, TOTAL - self.device.bytes_alive(pinned=False), TOTAL


class FakeGpu(Gpu):
    """PyTorch's work is done on the CPU; its stream has only the events."""

    def __init__(self, device: FakeDevice | None = None) -> None:
        device = device or FakeDevice()
        self.events = FakeDriver(device)
        super().__init__(device, self.events)
        self._torch = device.foreign_stream()

    def stream_of_torch(self, torch: Any) -> int:
        return self._torch.handle


class GpuHost:
    """A host with a GPU: backends `tensorrt` (fake engines) and `cuda` (ONNX Runtime on the CPU), PyTorch on the CPU.

    Attributes:
        gpu: None for a host without cuda-core.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fake_engine, "MODULUS", 3)  # classes are fewer than the fake's labels
        self.device = FakeDevice()
        self.gpu: FakeGpu | None = FakeGpu(self.device)
        for module, opened in ((tensorrt, self._tensorrt), (cuda, self._cuda)):
            monkeypatch.setattr(module, "unavailable", lambda: None)
            monkeypatch.setattr(module, "unsuited", lambda bundle, *, precision: None)
            monkeypatch.setattr(module, "open_bundle", opened)
        monkeypatch.setattr(lineup.Gpu, "open", self._open)
        monkeypatch.setattr(pytorch_side, "_device", lambda request: "cpu")
        small = partial(gpu_ceilings, device="cpu", products=[(8, 8, 8)], copy_bytes=1024)
        monkeypatch.setattr(limits, "gpu_ceilings", small)
        monkeypatch.setattr(pytorch_side, "_cuda_name", lambda torch: "Fake GPU")

    def _open(self) -> FakeGpu:
        if self.gpu is None:
            raise BackendError("cuda-core is not installed")
        return self.gpu

    def _tensorrt(self, bundle: Bundle, *, precision: str | None, threads: int | None) -> GpuBackend:
        manifest = bundle.manifest.at("fp32")
        engines = fake_engines(self.device, manifest)
        return GpuBackend(
            self.device, engines, manifest, name="tensorrt", precision="fp32", description="fake engines"
        )

    def _cuda(self, bundle: Bundle, *, precision: str | None, threads: int | None) -> OrtBoundBackend:
        return OrtBoundBackend(bundle, CPU, name="cuda", precision="fp32")
