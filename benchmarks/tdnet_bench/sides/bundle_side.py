"""The bundle in the runtime, as a robot would call it, on any of the runtime's backends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from tdnet_bench.records.config import SideSpec
from tdnet_bench.sides.device_spans import Spans, spans_of
from tdnet_bench.sides.gpu import Gpu, Shuttle, Stopwatch
from tdnet_bench.sides.side import Array, Mask, Push, clocks_of_bundle
from tdnet_runtime import Segmenter
from tdnet_runtime.errors import BackendError

__all__ = ["GPU_BACKENDS", "BundleSide"]

GPU_BACKENDS = frozenset({"tensorrt", "tensorrt-rtx", "cuda"})
"""Backends whose frames and labels are copied to the device and back."""

OpenSpans = Callable[[Segmenter, Gpu], AbstractContextManager[Spans]]


class BundleSide:
    """One opened bundle, closed by whoever opened it; takes frames of any size, on the device of the network's.

    It is timed on the device where there is a `gpu`, through `spans` (see `spans_of`) where frames and labels are not
    `resident` in its memory. `marks` end its name, after backend and precision. `obstacle` is why that is not
    measured, once it is known.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        *,
        gpu: Gpu | None = None,
        resident: bool = False,
        marks: str = "",
        spans: OpenSpans = spans_of,
    ) -> None:
        self.segmenter, self.gpu, self.resident = segmenter, gpu, resident
        self.obstacle: str | None = None
        self.name = f"{segmenter.backend.name}:{segmenter.backend.precision}{marks}"
        self._spans = spans
        self._captured: bool | None = None
        self._feed: Callable[[Array], Any] = lambda image: image

    def spec(self, *, camera: bool) -> SideSpec:
        """What it is, to be asked after the warm-up; `camera` where camera to mask is measured, too."""
        backend = self.segmenter.backend
        copied = ("copy on device",) if backend.name != "cuda" else ()
        return SideSpec(
            name=self.name,
            kind="bundle",
            precision=backend.precision,
            description=backend.description,
            weights="bundle",
            clocks=clocks_of_bundle(
                on_device=backend.name in GPU_BACKENDS,
                cuda_graph=self._captured is True,
                camera=camera and not self.resident,
                resident=self.resident,
                device=copied if self.gpu is not None else None,
            ),
        )

    def feed(self, image: Array) -> Any:
        """See `Side`."""
        return self._feed(image)

    @contextmanager
    def stream(self) -> Iterator[Push]:
        """See `Side`."""
        if self.resident:
            assert self.gpu is not None  # see the class
            with self._resident(self.gpu) as push:
                yield push
            return
        with ExitStack() as stack:
            stream = stack.enter_context(self.segmenter.stream())
            opened: list[Spans] = []

            def span(frame: Array) -> int | None:
                if self.gpu is None or self.obstacle is not None:
                    return None
                try:
                    if not opened:
                        opened.append(stack.enter_context(self._spans(self.segmenter, self.gpu)))
                    return opened[0](frame)
                except BackendError as error:  # the other clocks go on
                    self.obstacle = str(error)
                    return None

            def push(frame: Array) -> Mask:
                result = stream.push(frame)
                self._captured = result.captured
                return Mask(lambda: result.labels, lambda: span(frame))

            yield push

    @contextmanager
    def _resident(self, gpu: Gpu) -> Iterator[Push]:
        """With frames and labels on the GPU: events are around the very call that the host times."""
        with ExitStack() as stack:
            own = stack.enter_context(gpu.stream())
            shuttle = stack.enter_context(Shuttle(gpu, own))
            watch = stack.enter_context(Stopwatch(gpu))
            stream = stack.enter_context(self.segmenter.stream(labels="device", cuda_stream=own.handle))

            def push(frame: Any) -> Mask:
                with watch.timing(own.handle):
                    result = stream.push(frame)
                stream.synchronize()
                self._captured = result.captured
                return Mask(lambda: shuttle.download(result.labels), watch.ns)

            self._feed = shuttle.upload
            yield push
