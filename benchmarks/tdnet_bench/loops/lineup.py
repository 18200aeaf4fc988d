"""The sides of a run: opened one after the other, each with its times and its memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import psutil

from tdnet_bench.loops.back_to_back import WarmUp, warm_up
from tdnet_bench.loops.schedule import Schedule
from tdnet_bench.machine.environment import peak_rss_mib
from tdnet_bench.machine.gpus import process_gpu_memory_mib
from tdnet_bench.records.config import LeftOut, SideSetup, SideSpec, StreamMemory
from tdnet_bench.sides.bundle_side import GPU_BACKENDS, BundleSide
from tdnet_bench.sides.gpu import Gpu
from tdnet_bench.sides.pytorch_side import PyTorchSide
from tdnet_bench.sides.requests import HOST, Request
from tdnet_bench.sides.side import Array, Tick
from tdnet_bench.statistics.latency import NS_PER_MS
from tdnet_eval.networks import network_for
from tdnet_runtime import Segmenter
from tdnet_runtime.backends.base import DeviceBackend
from tdnet_runtime.errors import BackendError, MissingExtraError, TdnetError
from tdnet_runtime.manifest import Manifest

__all__ = ["AnySide", "Lineup", "measure_streams"]

AnySide: TypeAlias = BundleSide | PyTorchSide
_UNUSABLE = (BackendError, MissingExtraError)


class Lineup:
    """Opens sides and keeps them open until `stack` is closed; without `ckpt` PyTorch's weights are made up.

    Attributes:
        sides: those that are warm, the subject first.
        setup: by name, what each took.
        left_out: requests that could not be opened or failed on the warm-up, and why.
        repeated: requests that turned out to be a side that was there already, and its name.
        no_gpu: why nothing tells the device's time, where a side has a device; None until then.
    """

    def __init__(
        self,
        engine: Path,
        *,
        ckpt: Path | None,
        threads: int,
        stack: ExitStack,
        warm_up: Callable[..., WarmUp] = warm_up,
        sha256: str | None = None,
    ) -> None:
        self._engine, self._ckpt, self._threads, self._sha256 = engine, ckpt, threads, sha256
        self._stack, self._warm_up = stack, warm_up
        self._subject: tuple[BundleSide, int] | None = None
        self._manifest: Manifest | None = None
        self._found_gpu: Gpu | None = None
        self.no_gpu: str | None = None
        self.sides: list[AnySide] = []
        self.setup: dict[str, SideSetup] = {}
        self.left_out: list[LeftOut] = []
        self.repeated: dict[str, str] = {}

    def open_subject(self, rivals: Sequence[Request]) -> tuple[BundleSide, tuple[Request, ...]]:
        """Open the bundle on the first of `rivals` that can run it here; gives that side, and the rivals after it.

        Raises:
            BackendError: none can; of the first one.
            BundleError: the bundle cannot be trusted.
        """
        first: TdnetError | None = None
        for place, request in enumerate(rivals):
            started_ns = time.perf_counter_ns()
            try:
                with ExitStack() as stack:
                    side = self._bundle_side(request, stack)
                    self._stack.push(stack.pop_all())
            except _UNUSABLE as error:
                first = first or error
                self._leave_out(request, error)
                continue
            self._subject = (side, time.perf_counter_ns() - started_ns)
            self._manifest = side.segmenter.manifest
            return side, tuple(rivals[place + 1 :])
        assert first is not None  # there is a rival
        raise first

    def warm_up_subject(self, frames: Sequence[Array], schedule: Schedule, *, tick: Tick) -> None:
        """Warm the subject up; see `back_to_back.warm_up`."""
        assert self._subject is not None  # open_subject came first
        side, load_ns = self._subject
        self._keep(side, load_ns, self._warm_up(side, frames, schedule, classes=self._classes, tick=tick))

    def add(self, request: Request, frames: Sequence[Array], schedule: Schedule, *, tick: Tick) -> None:
        """Open another side and warm it up, or note why it cannot be.

        Raises:
            CheckpointError: the checkpoint cannot be loaded.
        """
        with ExitStack() as stack:
            started_ns = time.perf_counter_ns()
            try:
                side = self._open(request, stack)
                load_ns = time.perf_counter_ns() - started_ns
                if side.name in self.setup:
                    self.repeated[str(request)] = side.name
                    return
                warmed = self._warm_up(side, frames, schedule, classes=self._classes, tick=tick)
            except _UNUSABLE as error:
                self._leave_out(request, error)
                return
            self._stack.push(stack.pop_all())
        self._keep(side, load_ns, warmed)

    def specs(self, *, camera: bool) -> tuple[SideSpec, ...]:
        """Of all sides; `camera` where camera to mask is measured, too."""
        return tuple(side.spec(camera=camera) for side in self.sides)

    @property
    def _classes(self) -> int:
        assert self._manifest is not None  # open_subject came first
        return len(self._manifest.classes)

    def _bundle_side(self, request: Request, stack: ExitStack) -> BundleSide:
        segmenter = stack.enter_context(
            Segmenter.open(
                self._engine,
                backend=request.name,
                precision=request.precision,
                threads=self._threads,
                sha256=self._sha256,
            )
        )
        backend = segmenter.backend
        gpu = self._gpu() if backend.name in GPU_BACKENDS else None
        if request.resident and not isinstance(backend, DeviceBackend):
            raise BackendError(
                f"the backend {backend.name} leaves neither frames nor labels in a GPU's memory"
            )
        if request.resident and gpu is None:
            raise BackendError(f"frames cannot be put into the GPU's memory: {self.no_gpu}")
        if not request.graphs:
            if not hasattr(backend, "use_graphs"):
                raise BackendError(f"the backend {backend.name} has no CUDA graphs that it could go without")
            backend.use_graphs = False
        return BundleSide(segmenter, gpu=gpu, resident=request.resident, marks=request.marks)

    def _gpu(self) -> Gpu | None:
        """The GPU, for its events; looked for once."""
        if self._found_gpu is None and self.no_gpu is None:
            try:
                self._found_gpu = Gpu.open()
            except BackendError as error:
                self.no_gpu = str(error)
        return self._found_gpu

    def _open(self, request: Request, stack: ExitStack) -> AnySide:
        if not request.is_pytorch:
            return self._bundle_side(request, stack)
        manifest = self._manifest
        assert manifest is not None  # open_subject came first
        return PyTorchSide(
            request,
            network_for(manifest, self._ckpt),
            manifest=manifest,
            threads=self._threads,
            weights="synthetic" if self._ckpt is None else "checkpoint",
            gpu=None if request.device == HOST else self._gpu(),
        )

    def _leave_out(self, request: Request, error: TdnetError) -> None:
        """Note why; documents name no folders."""
        reason = str(error).replace(str(self._engine), self._engine.name)
        self.left_out.append(LeftOut(what=str(request), reason=reason))

    def _keep(self, side: AnySide, load_ns: int, warmed: WarmUp) -> None:
        self.sides.append(side)
        self.setup[side.name] = SideSetup(
            load_ms=load_ns / NS_PER_MS,
            first_mask_ms=(load_ns + warmed.first_mask_ns) / NS_PER_MS,
            warm_up_frames=warmed.frames,
            peak_rss_mib=peak_rss_mib(),
            device_memory_mib=process_gpu_memory_mib(),
        )


_MIB = 1 << 20
_OWN = ("device_bytes", "scratch_bytes", "pinned_bytes")


def measure_streams(
    side: BundleSide, images: Sequence[Array], count: int, *, tick: Tick = lambda: None
) -> StreamMemory:
    """Open `count` streams after a first one, and run each of them through all paths, with m or more `images`.

    To be done after everything that is timed: what is opened takes memory.
    """
    frames = images[: len(side.segmenter.manifest.paths)]
    own = None
    taken = []
    with ExitStack() as stack:
        for _ in range(1 + count):
            before = _used_bytes(side)
            stream = stack.enter_context(side.segmenter.stream())
            for frame in frames:
                stream.push(frame)
            taken.append((_used_bytes(side) - before) / _MIB)
            use = stream.memory_use
            own = None if use is None else {name: getattr(use, name) for name in _OWN}
            tick()
    return StreamMemory(
        on="host" if side.gpu is None else "device", further_mib=tuple(taken[1:]), own_bytes=own
    )


def _used_bytes(side: BundleSide) -> int:
    """Of the GPU by the driver's count, upside down; else of this process's resident memory."""
    return psutil.Process().memory_info().rss if side.gpu is None else -side.gpu.free_bytes()
