"""The backends `tensorrt` and `tensorrt-rtx`: do engines load and run here, and how fast."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tdnet_bench.gpu_check.engines import EngineFiles, EngineShop
from tdnet_bench.gpu_check.gpu import Gpu
from tdnet_bench.gpu_check.job import Job
from tdnet_bench.gpu_check.records import Measurement
from tdnet_bench.gpu_check.steps import StepLog
from tdnet_bench.gpu_check.streams import measured, memory_of_streams, plan_of, time_pushes, write_labels_of
from tdnet_bench.gpu_check.timing import alternate_calls, alternate_on_gpu
from tdnet_runtime import Bundle, Segmenter

__all__ = ["GPU_COMPUTE", "run_engines"]

GPU_COMPUTE = (
    "CUDA events before and after push() on the caller's stream, frames and labels in the GPU's memory, at most two "
    "frames on their way; the copy of the image within the GPU is in it"
)
_DEVICE_CALL = "perf_counter_ns around push() and synchronize(), frames and labels in the GPU's memory; one frame in flight"

OpenBundle = Callable[[Path, str], Segmenter]
Rebuild = Callable[[Path, str], str]


def run_engines(
    job: Job,
    log: StepLog,
    *,
    gpu: Gpu,
    shop: Callable[[], EngineShop],
    open_bundle: OpenBundle,
    rebuild: Rebuild,
) -> None:
    """All questions about the backend that is the part's name.

    Args:
        job: with a bundle.
        log: for the answers.
        gpu: the GPU.
        shop: makes what engines come from.
        open_bundle: (plan, backend) as `Segmenter.open`.
        rebuild: (plan, backend) as `engines.rebuild`.
    """
    found = log.make("product", shop, show=lambda it: it.name)
    if found is None:
        return
    with ExitStack() as stack:
        bundle = stack.enter_context(Bundle.open(job.bundle_path))
        log.ask("the product's own word on the bundle's engines", lambda: found.validity(bundle))
        if log.ask(
            "the runtime opens and runs the bundle's engines",
            lambda: _try_runtime(job.bundle_path, job, open_bundle),
        ):
            files = log.make("engines", lambda: found.engines_of(bundle), show=_source)
        else:
            files = _made_here(job, log, found, bundle, open_bundle=open_bundle, rebuild=rebuild)
    if files is None:
        return
    for captured in (True, False):
        _measure(job, log, gpu=gpu, shop=found, files=files, captured=captured)


def _made_here(
    job: Job, log: StepLog, shop: EngineShop, bundle: Bundle, *, open_bundle: OpenBundle, rebuild: Rebuild
) -> EngineFiles | None:
    """Engines that do run here, if any can be made."""
    copy = job.folder / f"rebuilt-{job.part}-{job.bundle_path.name}"
    rebuilt = log.ask("rebuild", lambda: _rebuilt(job, copy, rebuild))
    if rebuilt and log.ask(
        "the runtime opens and runs rebuilt engines", lambda: _try_runtime(copy, job, open_bundle)
    ):
        return log.make("engines", lambda: _engines_in(copy, shop), show=_source)
    files = log.make("build for this GPU alone", lambda: shop.build_for_this_gpu(bundle), show=_source)
    copy.unlink(missing_ok=True)
    return files


def _measure(
    job: Job, log: StepLog, *, gpu: Gpu, shop: EngineShop, files: EngineFiles, captured: bool
) -> None:
    mode = "CUDA graphs" if captured else "no CUDA graphs"
    with ExitStack() as stack:
        segmenter = log.make(
            f"load, {mode}",
            lambda: stack.enter_context(_segmenter(job, shop, files, captured=captured)),
            show=lambda it: it.backend.description,
        )
        if segmenter is None:
            return
        if captured:
            log.ask("labels", lambda: write_labels_of(segmenter, job))
        log.ask(f"host call, {mode}", lambda: time_pushes(segmenter, job))
        log.ask(f"labels on the GPU, {mode}", lambda: _time_on_device(segmenter, job, gpu))
        if captured:
            log.ask("memory of further streams", lambda: memory_of_streams(segmenter, job, gpu))


def _time_on_device(segmenter: Segmenter, job: Job, gpu: Gpu) -> list[Measurement]:
    """GPU compute with frames on their way, and the host's call with one at a time; all in the GPU's memory."""
    frames, plan, mine = [gpu.upload(frame) for frame in job.frames()], plan_of(segmenter, job), gpu.stream()
    captured: bool | None = None
    with gpu.on(mine), segmenter.stream(labels="device", cuda_stream=mine) as stream:

        def push(frame: Any) -> int:
            nonlocal captured
            result = stream.push(frame)
            captured = result.captured
            return result.path

        def push_and_wait(frame: Any) -> int:
            path = push(frame)
            stream.synchronize()
            return path

        (spans,) = alternate_on_gpu([push], frames, plan, gpu=gpu, stream=mine)
        stream.synchronize()
        (calls,) = alternate_calls([push_and_wait], frames, plan)
    modes: dict[str, Any] = {"captured": captured, "labels": "device"}
    return [
        measured(segmenter, spans, clock="gpu compute", method=GPU_COMPUTE, **modes),
        measured(segmenter, calls, clock="host call", method=_DEVICE_CALL, **modes),
    ]


def _try_runtime(plan: Path, job: Job, open_bundle: OpenBundle) -> str:
    """Open the bundle as an application does, and run a round of all paths."""
    with open_bundle(plan, job.part) as segmenter, segmenter.stream() as stream:
        for frame in job.frames()[: len(segmenter.manifest.paths)]:
            stream.push(frame)
        return segmenter.backend.description


def _rebuilt(job: Job, copy: Path, rebuild: Rebuild) -> str:
    shutil.copyfile(job.bundle_path, copy)
    return rebuild(copy, job.part)


def _engines_in(plan: Path, shop: EngineShop) -> EngineFiles:
    with Bundle.open(plan) as bundle:
        return shop.engines_of(bundle)


def _segmenter(job: Job, shop: EngineShop, files: EngineFiles, *, captured: bool) -> Segmenter:
    bundle = Bundle.open(job.bundle_path)
    try:
        return Segmenter(bundle, shop.backend(bundle, files, captured=captured))
    except BaseException:
        bundle.close()
        raise


def _source(files: EngineFiles) -> str:
    return f"{files.source}, {files.precision}, {sum(map(len, files.data.values()))} bytes"
