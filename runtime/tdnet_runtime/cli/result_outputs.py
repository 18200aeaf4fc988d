"""Results of a run over files, frame by frame, as the live layer's sinks take them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tdnet_runtime.live.result import LiveResult
from tdnet_runtime.media.frames import SourceFrame
from tdnet_runtime.sinks.sink import LiveSink
from tdnet_runtime.stream import Result

__all__ = ["ResultOutputs"]


class ResultOutputs:
    """Writes each result to all sinks; see `OnResult`.

    Args:
        sinks: written to in this order.
        paths: of the network.
    """

    def __init__(self, sinks: Sequence[LiveSink], *, paths: int) -> None:
        self._sinks = sinks
        self._begun = False
        # Of the frames in the memory; after a reset as many are cold as there are earlier ones in here.
        self._stamps_ns: deque[int] = deque(maxlen=paths - 1)

    def __call__(
        self, frame: SourceFrame, labels: npt.NDArray[np.uint8], pushed: object, infer_ns: int
    ) -> None:
        """Write one.

        Raises:
            MediaError: from a sink.
        """
        assert isinstance(pushed, Result)
        ages_ms = tuple((frame.stamp_ns - stamp_ns) / 1e6 for stamp_ns in self._stamps_ns)
        self._stamps_ns.append(frame.stamp_ns)
        cold_start = "start" if not self._begun else "begins" if frame.begins else ""
        self._begun = True
        result = LiveResult(
            source="",
            frame=frame,
            labels=labels.copy(),  # sinks of other libraries may hold on to it
            confidence=pushed.confidence,
            path=pushed.path,
            cold=pushed.cold,
            frame_index=pushed.frame_index,
            stamp_ns=frame.stamp_ns,
            memory_age_ms=() if pushed.cold else ages_ms,
            dropped=frame.lost_before,
            late=False,
            mode="full",
            stage_ms={"wait": 0.0, "infer": infer_ns / 1e6},
            cold_start=cold_start,
        )
        for sink in self._sinks:
            sink.write(result)
