"""The backend `cuda`: ONNX Runtime as it is shipped, and on a stream of ours where events can see it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from tdnet_bench.gpu_check.gpu import Gpu
from tdnet_bench.gpu_check.job import Job
from tdnet_bench.gpu_check.records import OUR_STREAM, Measurement
from tdnet_bench.gpu_check.steps import StepLog
from tdnet_bench.gpu_check.streams import (
    HOST_CALL,
    measured,
    memory_of_streams,
    plan_of,
    time_pushes,
    write_labels_of,
)
from tdnet_bench.gpu_check.timing import Sample, alternate_calls
from tdnet_runtime import Bundle, Segmenter
from tdnet_runtime.backends.cuda import CUDA, PREFERRED
from tdnet_runtime.backends.graph_precision import graph_precision, no_graphs
from tdnet_runtime.backends.ort_bound import OrtBoundBackend
from tdnet_runtime.backends.ort_provider import Provider
from tdnet_runtime.errors import BackendError

__all__ = ["GPU_COMPUTE", "on_stream", "open_backend", "run_cuda"]

GPU_COMPUTE = (
    "sum over the frame's graphs of CUDA events before and after ONNX Runtime's run on a stream of ours "
    "(user_compute_stream); it waits at the end of each run, so launching and waking up are in it; copies are not"
)


def run_cuda(job: Job, log: StepLog, *, gpu: Gpu, provider: Provider = CUDA) -> None:
    """All questions about the backend.

    Args:
        job: with a bundle.
        log: for the answers.
        gpu: the GPU.
        provider: that ONNX Runtime runs on.
    """
    with ExitStack() as stack:
        shipped = log.make(
            "open as shipped",
            lambda: stack.enter_context(open_backend(job, provider)),
            show=lambda segmenter: segmenter.backend.description,
        )
        if shipped is None:
            return  # the other ones would fail of the same
        log.ask("labels", lambda: write_labels_of(shipped, job))
        log.ask("host call, CUDA graphs", lambda: time_pushes(shipped, job))
        log.ask("memory of further streams", lambda: memory_of_streams(shipped, job, gpu))
    stream = gpu.stream()
    for graphs in (True, False):
        mode = "CUDA graphs" if graphs else "no CUDA graphs"
        chosen = on_stream(provider, gpu.handle(stream), graphs=graphs)
        log.ask(
            f"GPU compute, {mode}",
            lambda chosen=chosen: _time_graphs(job, chosen, gpu, stream),  # type: ignore[misc]
        )


def on_stream(provider: Provider, handle: int, *, graphs: bool) -> Provider:
    """The provider on the CUDA stream `handle`, with or without CUDA graphs."""
    options = {**provider.options}
    if provider.device == CUDA.device:
        options["user_compute_stream"] = str(handle)
    return dataclasses.replace(provider, options=options, graphs=provider.graphs if graphs else {})


def open_backend(job: Job, provider: Provider) -> Segmenter:
    """The job's bundle on `provider`, FP16 first.

    Raises:
        BackendError: no graphs that may be run, or ONNX Runtime refuses them.
        BundleError: the bundle cannot be trusted.
    """
    bundle = Bundle.open(job.bundle_path)
    try:
        precision = graph_precision(bundle, None, preferred=PREFERRED)
        if precision is None:
            raise BackendError(no_graphs(bundle, None, preferred=PREFERRED))
        return Segmenter(bundle, OrtBoundBackend(bundle, provider, name="cuda", precision=precision))
    except BaseException:
        bundle.close()
        raise


class _MarkedSession:
    """A session of ONNX Runtime that notes events before and after each run."""

    def __init__(self, session: Any, gpu: Gpu, stream: Any, marks: list[tuple[Any, Any]]) -> None:
        self._session, self._gpu, self._stream, self._marks = session, gpu, stream, marks

    def run_with_iobinding(self, *arguments: Any) -> None:
        start, end = self._gpu.event(), self._gpu.event()
        start.record(self._stream)
        self._session.run_with_iobinding(*arguments)
        end.record(self._stream)
        self._gpu.synchronize()  # results are fetched on another stream; ONNX Runtime has waited as a rule
        self._marks.append((start, end))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


def _time_graphs(job: Job, provider: Provider, gpu: Gpu, stream: Any) -> list[Measurement]:
    """GPU compute, and the host's call around it."""
    marks: list[tuple[Any, Any]] = []
    by_frame: list[tuple[int, Sequence[tuple[Any, Any]]]] = []
    captured = None
    with open_backend(job, provider) as segmenter:
        backend = segmenter.backend
        assert isinstance(backend, OrtBoundBackend)  # see `open_backend`
        for graph in backend.graphs.values():
            graph.session = _MarkedSession(graph.session, gpu, stream, marks)
        with segmenter.stream() as running:

            def push(frame: Any) -> int:
                nonlocal captured
                marks.clear()
                result = running.push(frame)
                captured = result.captured
                by_frame.append((result.path, tuple(marks)))
                return result.path

            plan = plan_of(segmenter, job)
            (calls,) = alternate_calls([push], job.frames(), plan)
        gpu.synchronize()
        spans: list[Sample] = [
            (path, round(sum(start.elapsed_time(end) for start, end in pairs) * 1e6))
            for path, pairs in by_frame[plan.warm_up :]
        ]
        modes: dict[str, Any] = {"captured": captured, "labels": "host"}
        return [
            measured(segmenter, spans, clock="gpu compute", method=GPU_COMPUTE, **modes),
            measured(segmenter, calls, clock="host call", method=f"{HOST_CALL}; {OUR_STREAM}", **modes),
        ]
