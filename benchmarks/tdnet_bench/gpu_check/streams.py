"""What is asked of every backend's streams: times, labels, memory."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from tdnet_bench.gpu_check.gpu import Gpu
from tdnet_bench.gpu_check.job import Job
from tdnet_bench.gpu_check.labels import write_labels
from tdnet_bench.gpu_check.records import Clock, Measurement
from tdnet_bench.gpu_check.timing import Plan, Sample, alternate_calls, timed
from tdnet_runtime import Segmenter
from tdnet_runtime.errors import BackendError

__all__ = ["HOST_CALL", "measured", "memory_of_streams", "plan_of", "time_pushes", "write_labels_of"]

HOST_CALL = (
    "perf_counter_ns around push() with a NumPy frame of the network's size, until the labels are a NumPy array; "
    "one frame in flight"
)
_EXTRA_STREAMS = 3


def plan_of(segmenter: Segmenter, job: Job) -> Plan:
    """How many frames to time."""
    return Plan(paths=len(segmenter.manifest.paths), rounds=job.rounds)


def measured(
    segmenter: Segmenter,
    samples: Sequence[Sample],
    *,
    captured: bool | None,
    labels: Any,
    clock: Clock,
    method: str,
) -> Measurement:
    """Samples of one of the segmenter's streams, with what they are of."""
    return Measurement(
        side=segmenter.backend.name,
        precision=segmenter.backend.precision,
        captured=captured,
        labels=labels,
        clock=clock,
        timed=timed(samples, method=method),
    )


def time_pushes(segmenter: Segmenter, job: Job) -> Measurement:
    """The host's time for a frame, as a robot's program sees it."""
    captured: bool | None = None
    with segmenter.stream() as stream:

        def push(frame: Any) -> int:
            nonlocal captured
            result = stream.push(frame)
            captured = result.captured
            return result.path

        (samples,) = alternate_calls([push], job.frames(), plan_of(segmenter, job))
    return measured(segmenter, samples, captured=captured, labels="host", clock="host call", method=HOST_CALL)


def write_labels_of(segmenter: Segmenter, job: Job) -> dict[str, Any]:
    """Leave the labels of a new stream's first frames for the comparison with the CPU."""
    with segmenter.stream() as stream:
        return write_labels(
            lambda frame: stream.push(frame).labels, job.frames(), job.labels_folder, segmenter.backend.name
        )


def memory_of_streams(segmenter: Segmenter, job: Job, gpu: Gpu) -> dict[str, Any]:
    """What each further stream takes of the GPU's memory, by the driver's count, after a round of all paths.

    Raises:
        BackendError: fewer frames than paths.
    """
    frames, paths = job.frames(), len(segmenter.manifest.paths)
    if len(frames) < paths:
        raise BackendError(f"{len(frames)} frames for {paths} paths")
    with ExitStack() as stack:
        used = [_used(segmenter, stack, frames[:paths], gpu) for _ in range(1 + _EXTRA_STREAMS)]
        own = used[-1][1]
    return {
        "method": "free memory of the driver, before a stream is opened less after it ran each path once",
        "first_stream_bytes": used[0][0],
        "further_stream_bytes": [taken for taken, _ in used[1:]],
        "own_count": own,
    }


def _used(
    segmenter: Segmenter, stack: ExitStack, frames: Sequence[Any], gpu: Gpu
) -> tuple[int, dict[str, int] | None]:
    gpu.synchronize()
    before = gpu.free_bytes()
    stream = stack.enter_context(segmenter.stream())
    for frame in frames:
        stream.push(frame)
    gpu.synchronize()
    use = stream.memory_use
    own = None
    if use is not None:
        own = {name: getattr(use, name) for name in ("device_bytes", "scratch_bytes", "pinned_bytes")}
    return before - gpu.free_bytes(), own
