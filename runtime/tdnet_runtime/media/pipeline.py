"""The loop from a source through a network to the outputs, and what it measured."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tdnet_runtime.media.frames import FrameSource, SourceFrame
from tdnet_runtime.media.sinks import Sink

__all__ = ["FrameSegmenter", "FrameStream", "OnResult", "RunSummary", "latency_ms_of", "run_video"]


OnResult = Callable[[SourceFrame, npt.NDArray[np.uint8], object, int], None]
"""Given a frame, its labels (valid until it returns), what `push` gave, and how long that took in ns."""


class FrameStream(Protocol):
    """What the loop needs of `tdnet_runtime.Stream`."""

    def push(
        self,
        frame: npt.NDArray[np.uint8],
        *,
        stamp_ns: int | None = None,
        out: npt.NDArray[np.uint8] | None = None,
    ) -> object:
        """Segment one frame into `out`."""

    def reset(self) -> None:
        """Forget all frames."""


class FrameSegmenter(Protocol):
    """What the loop needs of `tdnet_runtime.Segmenter`."""

    def stream(self) -> AbstractContextManager[FrameStream]:
        """A new stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """What one run did.

    Attributes:
        frames: segmented, and written to every sink.
        wall_s: of the whole loop: reading, segmenting, writing.
        latency_ms: of `push` alone, by name: `p50`, `p95` and `max`, the cold frames included; None
            without a frame.
        interrupted: `should_stop` ended it.
    """

    frames: int
    wall_s: float
    latency_ms: dict[str, float] | None
    interrupted: bool

    @property
    def frames_per_s(self) -> float:
        """Of the whole loop; 0 without a frame."""
        return self.frames / self.wall_s if self.frames else 0.0


def run_video(
    segmenter: FrameSegmenter,
    source: FrameSource,
    sinks: Sequence[Sink],
    *,
    max_frames: int | None = None,
    on_frame: Callable[[int], None] = lambda frames: None,
    on_result: OnResult | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    read: Callable[[FrameSource], Iterator[SourceFrame]] = iter,
) -> RunSummary:
    """Segment the frames of `source` in one stream, reset before each further sequence; write each to all `sinks`.

    Holds one frame and one array of labels at a time. Opens and closes nothing but the stream.

    Args:
        segmenter: the network.
        source: iterated from where it is.
        sinks: written to in this order.
        max_frames: stop after so many.
        on_frame: called after each frame with the number of frames done.
        on_result: called with each frame, after the sinks.
        should_stop: asked before each frame; True ends the run.
        read: gives the source's frames; they may end early when it is asked to stop.

    Raises:
        TdnetError: from the source, the network or a sink. What was written before is whole.
    """
    latency_ns = array("q")
    labels = np.empty(source.size_hw, dtype=np.uint8)
    begin_ns = time.perf_counter_ns()
    with segmenter.stream() as stream:
        for frame in islice(read(source), max_frames):
            if should_stop():
                break
            if frame.begins:
                stream.reset()
                labels = np.empty(frame.image.shape[:2], dtype=np.uint8)
            push_ns = time.perf_counter_ns()
            pushed = stream.push(frame.image, stamp_ns=frame.stamp_ns, out=labels)
            latency_ns.append(time.perf_counter_ns() - push_ns)
            for sink in sinks:
                sink.write(frame, labels)
            if on_result is not None:
                on_result(frame, labels, pushed, latency_ns[-1])
            on_frame(len(latency_ns))
    return RunSummary(
        frames=len(latency_ns),
        wall_s=(time.perf_counter_ns() - begin_ns) / 1e9,
        latency_ms=latency_ms_of(latency_ns),
        interrupted=should_stop(),
    )


def latency_ms_of(latency_ns: array[int]) -> dict[str, float] | None:
    """`p50`, `p95` and `max` of durations in ns; None without any."""
    if not latency_ns:
        return None
    p50, p95, most = np.percentile(np.frombuffer(latency_ns, dtype=np.int64), (50, 95, 100)) / 1e6
    return {"p50": float(p50), "p95": float(p95), "max": float(most)}
