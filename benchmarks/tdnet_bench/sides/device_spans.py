"""Device compute of a bundle whose frames and labels are on the host, in a call of its own after the timed one.

Around a call that waits for its labels events would see the host's copies and its waking up. So the frame goes
through a second stream, which the clocks of the first do not know: on TensorRT one with frame and labels in the GPU's
memory; in ONNX Runtime one on a CUDA stream of ours (`user_compute_stream`) with events around each graph, since it
offers no other way.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, TypeAlias

from tdnet_bench.sides.gpu import Gpu, Shuttle, Stopwatch
from tdnet_bench.sides.side import Array
from tdnet_runtime import Segmenter
from tdnet_runtime.backends.ort_bound import OrtBoundBackend
from tdnet_runtime.stream import Stream

__all__ = ["Spans", "spans_of"]

Spans: TypeAlias = Callable[[Array], int]
"""The next frame of a stream to the nanoseconds of its device compute."""


def spans_of(segmenter: Segmenter, gpu: Gpu) -> AbstractContextManager[Spans]:
    """A stream beside those of `segmenter`, on the same weights where that can be.

    Raises:
        BackendError: the GPU has no room for it.
    """
    if isinstance(segmenter.backend, OrtBoundBackend):
        return _marked_graphs(segmenter, segmenter.backend, gpu)
    return _resident_frames(segmenter, gpu)


@contextmanager
def _resident_frames(segmenter: Segmenter, gpu: Gpu) -> Iterator[Spans]:
    with ExitStack() as stack:
        own = stack.enter_context(gpu.stream())
        shuttle, watch = stack.enter_context(Shuttle(gpu, own)), stack.enter_context(Stopwatch(gpu))
        stream = stack.enter_context(segmenter.stream(labels="device", cuda_stream=own.handle))

        def span(frame: Array) -> int:
            given = shuttle.upload(frame)
            with watch.timing(own.handle):
                stream.push(given)
            stream.synchronize()
            return watch.ns()

        yield span


@contextmanager
def _marked_graphs(segmenter: Segmenter, shipped: OrtBoundBackend, gpu: Gpu) -> Iterator[Spans]:
    """With the graphs loaded once more, since the CUDA stream is an option of their sessions."""
    with ExitStack() as stack:
        own, watch = stack.enter_context(gpu.stream()), stack.enter_context(Stopwatch(gpu))
        options = {**shipped.provider.options}
        if shipped.provider.device != "cpu":  # which tests name
            options["user_compute_stream"] = str(own.handle)
        provider = dataclasses.replace(shipped.provider, options=options)
        bundle = segmenter.bundle
        backend = OrtBoundBackend(bundle, provider, name=shipped.name, precision=shipped.precision)
        stack.callback(backend.close)
        backend.use_graphs = shipped.use_graphs
        marks: list[int] = []
        for graph in backend.graphs.values():
            graph.session = _MarkedSession(graph.session, watch, own.handle, marks)
        manifest = segmenter.manifest.at(backend.precision)
        stream = stack.enter_context(
            Stream(manifest, backend.session(), bundle_digest=bundle.digest, precision=backend.precision)
        )

        def span(frame: Array) -> int:
            marks.clear()
            stream.push(frame)
            return sum(marks)

        yield span


class _MarkedSession:
    """A session of ONNX Runtime that notes the time of each run, between two events on its stream."""

    def __init__(self, session: Any, watch: Stopwatch, stream: int, marks: list[int]) -> None:
        self._session, self._watch, self._stream, self._marks = session, watch, stream, marks

    def run_with_iobinding(self, *arguments: Any) -> None:
        with self._watch.timing(self._stream):
            self._session.run_with_iobinding(*arguments)
        self._marks.append(self._watch.ns())  # which waits: results are fetched on another stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)
