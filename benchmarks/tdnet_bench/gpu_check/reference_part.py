"""What needs no GPU: the CPU's labels of the same frames, and what a frame costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tdnet_bench.gpu_check.job import Job
from tdnet_bench.gpu_check.labels import save_labels
from tdnet_bench.gpu_check.roofline import COST_STEP
from tdnet_bench.gpu_check.steps import StepLog
from tdnet_bench.roofline.flops import bundle_costs
from tdnet_runtime import Bundle, Segmenter
from tdnet_runtime.preflight import PREFERRED

__all__ = ["REFERENCE", "REFERENCE_STEP", "run_reference"]

REFERENCE = "onnxruntime"
"""The backend, and the name under which its labels are kept."""

REFERENCE_STEP = "labels of ONNX Runtime on the CPU"
_SHARE_OF_LIMIT = 0.8


def run_reference(job: Job, log: StepLog, *, clock: Callable[[], float] = time.monotonic) -> None:
    """Count FLOPs, then segment as many frames as there is time for, all of them if there is enough."""
    started = clock()
    log.ask(COST_STEP, lambda: _flops(job))
    log.ask(REFERENCE_STEP, lambda: _labels(job, lambda: clock() - started < _SHARE_OF_LIMIT * job.limit_s))


def _flops(job: Job) -> dict[str, Any]:
    """Two for each multiply-add of the graphs that GPU backends run; the mean of the paths."""
    with Bundle.open(job.bundle_path) as bundle:
        manifest = bundle.manifest
        precision = next(p for p in PREFERRED if p in manifest.precisions)
        costs = {cost.graph: cost.flops for cost in bundle_costs(bundle, precision=precision)}
    by_path = {
        path.index: (costs[path.subnet] + (costs[path.apm] if path.apm else 0)) / 1e9
        for path in manifest.paths
    }
    return {"gflop": sum(by_path.values()) / len(by_path), "by_path": by_path, "graphs": precision}


def _labels(job: Job, has_time: Callable[[], bool]) -> dict[str, Any]:
    with Bundle.open(job.bundle_path) as bundle:
        precisions = bundle.manifest.precisions
    precision = "fp32" if "fp32" in precisions else precisions[0]
    made = []
    with (
        Segmenter.open(job.bundle_path, backend=REFERENCE, precision=precision) as segmenter,
        segmenter.stream() as stream,
    ):
        for frame in job.frames():
            made.append(stream.push(frame).labels.copy())
            if not has_time():
                break
        description = segmenter.backend.description
    save_labels(made, job.labels_folder, REFERENCE)
    return {"frames": len(made), "precision": precision, "description": description}
