"""PyTorch on the same frames: eager FP32, FP16 channels-last, and compiled; in turn, frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tdnet_bench.gpu_check.gpu import Gpu
from tdnet_bench.gpu_check.job import Job
from tdnet_bench.gpu_check.labels import write_labels
from tdnet_bench.gpu_check.network import TorchStream, compiled, prepared
from tdnet_bench.gpu_check.records import EAGER_FP32, Clock, Measurement
from tdnet_bench.gpu_check.steps import StepLog
from tdnet_bench.gpu_check.timing import Plan, Push, alternate_calls, alternate_on_gpu, timed
from tdnet_bench.sides.pytorch_side import network_for, preprocessing_for
from tdnet_runtime import Bundle
from tdnet_runtime.manifest import Manifest

__all__ = ["COMPILED", "EAGER_FP16", "GPU_COMPUTE", "run_pytorch"]

EAGER_FP16 = "pytorch eager channels-last"
COMPILED = "pytorch compiled channels-last"
_PRECISIONS = {EAGER_FP32: "fp32", EAGER_FP16: "fp16", COMPILED: "fp16"}

GPU_COMPUTE = (
    "CUDA events on the current stream before and after a frame, from uint8 in the GPU's memory to uint8 labels there; "
    "nobody waits between frames, so where the host launches too slowly, that is in it; TF32 off, cudnn.benchmark on"
)
_HOST_CALL = (
    "perf_counter_ns from a NumPy frame, copied from pageable memory, until the labels are a NumPy array; "
    "one frame in flight"
)


class _Sides:
    """The sides that work so far, by name, each with its network."""

    def __init__(self, job: Job, manifest: Manifest, device: Any) -> None:
        self._job, self._manifest, self._device = job, manifest, device
        self.networks: dict[str, Any] = {}

    def add(self, name: str) -> str:
        """Make a side's network and run it a few rounds; what it is."""
        ckpt = None if self._job.ckpt is None else Path(self._job.ckpt)
        half = _PRECISIONS[name] == "fp16"
        network = prepared(network_for(self._manifest, ckpt), device=self._device, half=half)
        if name == COMPILED:
            network = compiled(network)
        stream, frames = self.stream(network), self._job.frames()
        for index in range(3 * len(self._manifest.paths)):
            self.labels(stream, frames[index % len(frames)])
        self.networks[name] = network
        return "weights of the checkpoint" if ckpt else "made-up weights in the bundle's shapes"

    def stream(self, network: Any) -> TorchStream:
        manifest = self._manifest
        return TorchStream(
            network,
            memory_stride=manifest.state.stride,
            preprocessing=preprocessing_for(manifest),
            threshold=manifest.threshold,
        )

    def labels(self, stream: TorchStream, frame: Any) -> tuple[Any, int]:
        """From a NumPy frame to NumPy labels."""
        import torch  # only in the parts that run PyTorch

        labels, path = stream.push(torch.tensor(frame, device=self._device))
        return labels.cpu().numpy(), path


def run_pytorch(job: Job, log: StepLog, *, gpu: Gpu, device: Any) -> None:
    """All questions about PyTorch.

    Args:
        job: with a bundle, and a checkpoint if there is one.
        log: for the answers.
        gpu: the GPU.
        device: for PyTorch.
    """
    import torch  # only in the parts that run PyTorch

    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    with Bundle.open(job.bundle_path) as bundle:
        manifest = bundle.manifest
    sides = _Sides(job, manifest, device)
    plan = Plan(paths=len(manifest.paths), rounds=job.rounds)
    for name in (EAGER_FP32, EAGER_FP16):
        log.ask(name, lambda name=name: sides.add(name))  # type: ignore[misc]
    log.ask("GPU compute, eager sides in turn", lambda: _on_gpu(sides, job, plan, gpu))
    log.ask("host call, eager sides in turn", lambda: _host_calls(sides, job, plan))
    if job.ckpt is not None:
        for name in tuple(sides.networks):
            log.ask(f"labels, {name}", lambda name=name: _write_labels(sides, job, name))  # type: ignore[misc]
    if log.ask(COMPILED, lambda: sides.add(COMPILED)):
        log.ask("GPU compute, all sides in turn", lambda: _on_gpu(sides, job, plan, gpu))
        log.ask("host call, all sides in turn", lambda: _host_calls(sides, job, plan))


def _on_gpu(sides: _Sides, job: Job, plan: Plan, gpu: Gpu) -> list[Measurement]:
    frames, stream = [gpu.upload(frame) for frame in job.frames()], gpu.stream()
    with gpu.on(stream):
        samples = alternate_on_gpu(
            _pushes(sides, lambda running, frame: running.push(frame)[1]),
            frames,
            plan,
            gpu=gpu,
            stream=stream,
        )
    return _measurements(sides, samples, clock="gpu compute", labels="device", method=GPU_COMPUTE)


def _host_calls(sides: _Sides, job: Job, plan: Plan) -> list[Measurement]:
    pushes = _pushes(sides, lambda running, frame: sides.labels(running, frame)[1])
    samples = alternate_calls(pushes, job.frames(), plan)
    return _measurements(sides, samples, clock="host call", labels="host", method=_HOST_CALL)


def _write_labels(sides: _Sides, job: Job, name: str) -> dict[str, Any]:
    running = sides.stream(sides.networks[name])
    return write_labels(lambda frame: sides.labels(running, frame)[0], job.frames(), job.labels_folder, name)


def _pushes(sides: _Sides, run: Callable[[TorchStream, Any], int]) -> list[Push]:
    """One for each side, each with a stream of its own."""

    def push_of(network: Any) -> Push:
        running = sides.stream(network)
        return lambda frame: run(running, frame)

    return [push_of(network) for network in sides.networks.values()]


def _measurements(
    sides: _Sides, samples: Sequence[Any], *, clock: Clock, labels: Any, method: str
) -> list[Measurement]:
    return [
        Measurement(
            side=name,
            precision=_PRECISIONS[name],
            captured=None,
            labels=labels,
            clock=clock,
            timed=timed(times, method=method),
        )
        for name, times in zip(sides.networks, samples, strict=True)
    ]
