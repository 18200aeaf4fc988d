"""A GPU, engines and commands for the check's tests: no time is real, no device is needed."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.runtime.gpu.fake_device import FakeArray, FakeDevice, FakeStream
from tests.runtime.gpu.fake_engine import fake_engines

from tdnet_bench.gpu_check.engines import EngineFiles, Uncaptured
from tdnet_bench.gpu_check.job import Job
from tdnet_bench.gpu_check.records import Step
from tdnet_bench.gpu_check.steps import StepLog
from tdnet_runtime import Bundle, Segmenter
from tdnet_runtime.backends.ort_provider import Provider
from tdnet_runtime.errors import BackendError
from tdnet_runtime.gpu.backend import GpuBackend

CPU = Provider(name="CPUExecutionProvider", device="cpu")
SPAN_MS = 0.5
"""Between any event and the next one."""


class FakeEvent:
    def __init__(self, gpu: FakeGpu) -> None:
        self.gpu = gpu
        self.at_ms = -1.0

    def record(self, stream: Any) -> None:
        self.gpu.now_ms += SPAN_MS
        self.at_ms = self.gpu.now_ms

    def elapsed_time(self, end: FakeEvent) -> float:
        assert self.gpu.waited_at_ms >= end.at_ms, "the event has not happened yet"
        return end.at_ms - self.at_ms


class Stream:
    """As torch.cuda.Stream."""

    def __init__(self, stream: FakeStream) -> None:
        self.cuda_stream = stream.handle

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.cuda_stream


class FakeGpu:
    """With a `device`, its frames and streams are that one's; else frames are torch's on the CPU."""

    def __init__(self, device: FakeDevice | None = None) -> None:
        self.device = device
        self.now_ms = 0.0
        self.waited_at_ms = -1.0
        self.free = 1 << 34

    def facts(self) -> dict[str, Any]:
        return {"name": "NVIDIA Fake 100", "compute_capability": "9.0"}

    def stream(self) -> Any:
        return Stream((self.device or FakeDevice()).foreign_stream())

    def handle(self, stream: Any) -> int:
        return int(stream.cuda_stream)

    def on(self, stream: Any) -> AbstractContextManager[Any]:
        return contextlib.nullcontext()

    def event(self) -> FakeEvent:
        return FakeEvent(self)

    def upload(self, frame: np.ndarray) -> Any:
        if self.device is None:
            return torch.tensor(frame)
        memory = self.device.foreign_memory(frame.nbytes)
        memory.data[:] = frame.reshape(-1)
        return FakeArray(memory, frame.shape)

    def free_bytes(self) -> int:
        self.free -= 1000
        return self.free

    def synchronize(self) -> None:
        self.waited_at_ms = self.now_ms


class FakeShop:
    """Engines of the fake device. `good` names the sources whose engines load."""

    def __init__(self, name: str, device: FakeDevice, *, good: tuple[str, ...]) -> None:
        self.name = name
        self.device = device
        self.good = good
        self.bundles: list[Path] = []

    def engines_of(self, bundle: Bundle) -> EngineFiles:
        self.bundles.append(bundle.path)
        return self._files("rebuilt" if bundle.path.name.startswith("rebuilt") else "bundle")

    def validity(self, bundle: Bundle) -> dict[str, str]:
        return {"a set": "EngineValidity.SUBOPTIMAL"}

    def build_for_this_gpu(self, bundle: Bundle) -> EngineFiles:
        if "built here" not in self.good:
            raise BackendError("it cannot be built")
        return self._files("built here")

    def backend(self, bundle: Bundle, files: EngineFiles, *, captured: bool) -> GpuBackend:
        if files.source not in self.good:
            raise BackendError(f"engines from {files.source} do not load: serialization assertion failed")
        manifest = bundle.manifest
        engines: list[Any] = list(fake_engines(self.device, manifest))
        if not captured:
            engines = [Uncaptured(engine) for engine in engines]
        return GpuBackend(
            self.device, engines, manifest, name=self.name, precision="fp32", description=files.source
        )

    def open(self, plan: Path, backend: str) -> Segmenter:
        """As `Segmenter.open`."""
        assert backend == self.name
        bundle = Bundle.open(plan)
        try:
            return Segmenter(bundle, self.backend(bundle, self.engines_of(bundle), captured=True))
        except BaseException:
            bundle.close()
            raise

    def _files(self, source: str) -> EngineFiles:
        return EngineFiles(source=source, precision="fp32", data={"subnet1": b"1234"})


class Steps:
    """Collects a part's steps."""

    def __init__(self) -> None:
        self.all: list[Step] = []
        self.log = StepLog(self.all.append)

    def __getitem__(self, name: str) -> Step:
        (found,) = (step for step in self.all if step.name == name)
        return found

    def __iter__(self) -> Iterator[Step]:
        return iter(self.all)

    @property
    def failed(self) -> dict[str, str | None]:
        return {step.name: step.error for step in self.all if not step.ok}


def job_for(plan: Path, work: Path, part: str, **others: Any) -> Job:
    """A job of a few frames, which are there."""
    with Bundle.open(plan) as bundle:
        size = bundle.manifest.input
    given: dict[str, Any] = {
        "part": part,
        "work": str(work),
        "rounds": 4,
        "pictures": 5,
        "limit_s": 100.0,
        "name": "tiny",
        "plan": str(plan),
        "size_hw": (size.height, size.width),
    }
    job = Job(**(given | others))
    if not job.frames_path.exists():
        frames = np.random.default_rng(0).integers(0, 256, (job.pictures, size.height, size.width, 3))
        np.save(job.frames_path, frames.astype(np.uint8))
    return job


def finished(returncode: int = 0, *, stdout: str = "", stderr: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess([], returncode, stdout=stdout, stderr=stderr)
