"""What parts reach for outside of themselves; tests put doubles in its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tdnet_bench.gpu_check.command_parts import Command, run_benchmark, run_command, run_tests
from tdnet_bench.gpu_check.cuda_part import run_cuda
from tdnet_bench.gpu_check.engines import EngineShop, TrtShop, rebuild
from tdnet_bench.gpu_check.frames_part import run_frames
from tdnet_bench.gpu_check.gpu import Gpu, TorchGpu
from tdnet_bench.gpu_check.job import Job
from tdnet_bench.gpu_check.pytorch_part import run_pytorch
from tdnet_bench.gpu_check.reference_part import run_reference
from tdnet_bench.gpu_check.roofline import run_roofline
from tdnet_bench.gpu_check.steps import StepLog
from tdnet_bench.gpu_check.trt_part import run_engines
from tdnet_runtime import Segmenter
from tdnet_runtime.backends.cuda import CUDA, unavailable
from tdnet_runtime.backends.ort_provider import Provider
from tdnet_runtime.errors import BackendError
from tdnet_runtime.extras import require

__all__ = ["DEVICE_STEP", "World", "run_part"]

DEVICE_STEP = "the GPU"


def _torch() -> Any:
    return require("torch", extra="export")


def _torch_gpu() -> Gpu:
    return TorchGpu(_torch())


def _open(plan: Path, backend: str) -> Segmenter:
    return Segmenter.open(plan, backend=backend)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The real one by default.

    Attributes:
        gpu: opens it.
        torch: the module.
        device: for torch.
        cuda_obstacle: why the backend `cuda` cannot be used; None where it can.
        provider: of that backend.
        shop: makes what engines come from, by the name of the backend.
        open_bundle: (plan, backend) as `Segmenter.open`.
        rebuild: see `engines.rebuild`.
        command: see `Command`.
        roofline: further arguments of `run_roofline`.
    """

    gpu: Callable[[], Gpu] = _torch_gpu
    torch: Callable[[], Any] = _torch
    device: str = "cuda:0"
    cuda_obstacle: Callable[[], str | None] = unavailable
    provider: Provider = CUDA
    shop: Callable[[str], EngineShop] = TrtShop
    open_bundle: Callable[[Path, str], Segmenter] = _open
    rebuild: Callable[[Path, str], str] = rebuild
    command: Command = run_command
    roofline: dict[str, Any] = field(default_factory=dict)


def run_part(job: Job, log: StepLog, world: World) -> None:
    """Run the part that `job` names; whatever fails in it ends up in `log`."""
    if job.part == "frames":
        run_frames(job, log)
    elif job.part == "reference":
        run_reference(job, log)
    elif job.part == "tests":
        run_tests(job, log, command=world.command)
    elif job.part == "benchmark":
        run_benchmark(job, log, command=world.command)
    else:
        gpu = log.make(DEVICE_STEP, world.gpu, show=lambda it: it.facts())
        if gpu is not None:
            _run_on_gpu(job, log, world, gpu)


def _run_on_gpu(job: Job, log: StepLog, world: World, gpu: Gpu) -> None:
    if job.part == "roofline":
        run_roofline(log, torch=world.torch(), gpu=gpu, device=world.device, **world.roofline)
    elif job.part == "pytorch":
        run_pytorch(job, log, gpu=gpu, device=world.device)
    elif job.part == "cuda":
        if log.ask("the provider", lambda: _absent(world.cuda_obstacle())):
            run_cuda(job, log, gpu=gpu, provider=world.provider)
    elif job.part in ("tensorrt", "tensorrt-rtx"):
        run_engines(
            job,
            log,
            gpu=gpu,
            shop=lambda: world.shop(job.part),
            open_bundle=world.open_bundle,
            rebuild=world.rebuild,
        )


def _absent(obstacle: str | None) -> str:
    if obstacle is not None:
        raise BackendError(obstacle)
    return "installed"
