"""One video through one network, labels as NumPy arrays: push, reset, snapshot, restore.

>>> from tdnet_runtime.stream import StreamState
>>> [state.value for state in StreamState]
['ready', 'failed', 'closed']
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tdnet_runtime.backends.base import Buffer
from tdnet_runtime.preprocess import check_out
from tdnet_runtime.stream_base import StreamBase, StreamSnapshot, StreamState
from tdnet_runtime.turn import in_turn

__all__ = ["Result", "Stream", "StreamSnapshot", "StreamState"]


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What `push` gives back.

    Attributes:
        labels: uint8 [H, W] of the frame's own size, class indices; the caller's own array (or the
            one passed as `out`), never touched again by the stream.
        path: the sub-network that ran, 1 to m.
        cold: True where the labels use no attention: on the first m−1 frames after a start or reset, and where `push` was
            told so.
        frame_index: 0 for the first frame after a start or reset.
        stamp_ns: as passed to `push`.
        logits: float32 [K, h, w] at the network's size where the bundle was exported with logits,
            else None; the caller's own array.
        captured: True where the frame was one launch of a captured CUDA graph, False where a GPU backend
            runs without (its log says why), None where there are no such graphs.
        confidence: uint8 [H, W] of the frame's own size where the bundle was exported with confidence, else None: the
            probability that the network gives to each label, 255 for 1; not calibrated. The caller's own array.
    """

    labels: npt.NDArray[np.uint8]
    path: int
    cold: bool
    frame_index: int
    stamp_ns: int | None
    logits: npt.NDArray[np.float32] | None
    captured: bool | None = None
    confidence: npt.NDArray[np.uint8] | None = None


class Stream(StreamBase):
    """A stream whose labels come to the host. Made by `Segmenter.stream()`; see `StreamBase`."""

    @in_turn
    def push(
        self,
        frame: Any,
        *,
        stamp_ns: int | None = None,
        out: npt.NDArray[np.uint8] | None = None,
        attention: bool = True,
    ) -> Result:
        """Segment the next frame of the video.

        Args:
            frame: NumPy array, uint8 [H, W, 3], RGB, C-contiguous, any size, the same in all of the stream;
                read before the call returns and never kept. On a GPU backend also an array on that GPU that
                offers DLPack or `__cuda_array_interface__`, of the network's size; it is copied there.
            stamp_ns: handed through to the result.
            out: uint8 [H, W] for the labels, C-contiguous; None for a new array.
            attention: False: the memory is left unread, and the labels are those of the sub-network alone, as on a cold
                frame, which takes less time. The frame is remembered as always: later ones are as if it had been True.

        Raises:
            OptionError: no `attention`, and the bundle was not exported with `--own-labels`.
            FrameError: frame or `out` is not as described, or the size changed in mid-stream.
            StreamError: the stream is closed, has failed, or is in use by another thread.
            BackendError: the engine failed; `reset()` is needed.
        """
        self._require_pushable(attention=attention)
        size_hw, view = self._admitted(frame)
        self._resizer.require(size_hw)
        if out is not None:
            check_out(out, size_hw)
        result = np.empty(size_hw, dtype=np.uint8) if out is None else out
        path, cold, index = self._advance(frame, view, size_hw, attention=attention)
        logits = self._memory.logits()
        self._take(self._memory.labels, result)
        confidence = None
        if self._memory.confidence is not None:
            confidence = np.empty(size_hw, dtype=np.uint8)
            self._take(self._memory.confidence, confidence)
        taken = Result(
            labels=result,
            path=path,
            cold=cold,
            frame_index=index,
            stamp_ns=stamp_ns,
            logits=None if logits is None else logits[0],
            captured=self._captured(),
            confidence=confidence,
        )
        self._state = StreamState.READY
        return taken

    def _take(self, buffer: Buffer, out: npt.NDArray[np.uint8]) -> None:
        """A map of the network's size, to the frame's."""
        values = buffer.host
        assert values is not None  # allocated host-visible
        self._resizer.take(values[0], out)
