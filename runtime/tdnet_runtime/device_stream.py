"""One video through one network on a GPU, where the labels stay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tdnet_runtime.backends.base import DeviceSession
from tdnet_runtime.errors import FrameError
from tdnet_runtime.gpu.labels import DeviceLabels
from tdnet_runtime.manifest import CONFIDENCE, Manifest
from tdnet_runtime.stream_base import StreamBase, StreamSnapshot, StreamState
from tdnet_runtime.turn import in_turn

__all__ = ["DeviceResult", "DeviceStream"]

_ON_THEIR_WAY = 2  # frames before the one that is pushed, at most, that nobody has waited for


@dataclass(frozen=True, slots=True, eq=False)
class DeviceResult:
    """What `DeviceStream.push` gives back, as a rule before the GPU has begun.

    Attributes:
        labels: uint8 [H, W] on the GPU, the stream's own memory: valid until the next `push`.
        path: see `Result`.
        cold: see `Result`.
        frame_index: see `Result`.
        stamp_ns: see `Result`.
        captured: see `Result`.
        confidence: uint8 [H, W] on the GPU, as the labels are, where the bundle was exported with confidence; else None.
    """

    labels: DeviceLabels
    path: int
    cold: bool
    frame_index: int
    stamp_ns: int | None
    captured: bool | None
    confidence: DeviceLabels | None = None


class DeviceStream(StreamBase):
    """A stream whose labels stay on the GPU. Made by `Segmenter.stream(labels="device")`; see `StreamBase`.

    `push` puts the frame's work on the CUDA stream and returns; a third frame waits for the first. A
    failure of the GPU may therefore come up in a later call: its message names the frames that it can
    belong to. The stream is failed then, whichever it was.
    """

    def __init__(
        self, manifest: Manifest, session: DeviceSession, *, bundle_digest: str, precision: str
    ) -> None:
        super().__init__(manifest, session, bundle_digest=bundle_digest, precision=precision)
        self._on_gpu = session
        self._done_frames = 0  # frames since the start or reset that are known to be done

    @in_turn
    def push(self, frame: Any, *, stamp_ns: int | None = None, attention: bool = True) -> DeviceResult:
        """Segment the next frame of the video.

        Args:
            frame: uint8 [H, W, 3], RGB, C-contiguous, of the network's size: a NumPy array, which is read
                before the call returns; or an array on the GPU that offers DLPack or
                `__cuda_array_interface__`, which is kept alive until it was copied. It may be overwritten by
                work that comes after this stream's on the GPU.
            stamp_ns: handed through to the result.
            attention: see `Stream.push`.

        Raises:
            OptionError: see `Stream.push`.
            FrameError: the frame is not as described.
            StreamError: the stream is closed, has failed, or is in use by another thread.
            BackendError: this frame or one of the two before has failed; `reset()` is needed.
        """
        self._require_pushable(attention=attention)
        size_hw, view = self._admitted(frame)
        if size_hw != self._network_size:
            height, width = self._network_size
            raise FrameError(
                f"push() was given a frame of {size_hw[0]}x{size_hw[1]}; with labels on the GPU only the network's "
                f"size, {height}x{width}, can be taken: nothing is resized there"
            )
        path, cold, index = self._advance(frame, view, size_hw, attention=attention)
        self._done_frames = max(self._done_frames, index + 1 - _ON_THEIR_WAY)
        labels = self._on_gpu.device_labels(index, wait=self.synchronize)
        sure = None
        if self._memory.confidence is not None:
            sure = self._on_gpu.device_labels(index, CONFIDENCE, wait=self.synchronize)
        taken = DeviceResult(labels, path, cold, index, stamp_ns, self._captured(), sure)
        self._state = StreamState.READY
        return taken

    @in_turn
    def synchronize(self) -> None:
        """Wait until all frames are done.

        Raises:
            StreamError: the stream is closed, has failed, or is in use by another thread.
            BackendError: one of them has failed; `reset()` is needed.
        """
        self._require(StreamState.READY, "synchronize")
        with self._failing(self._frames_before() or "no frame"):
            self._on_gpu.settle()
        self._done_frames = self._frame_index

    def reset(self) -> None:
        """See `StreamBase.reset`."""
        super().reset()
        self._done_frames = 0

    def restore(self, snapshot: StreamSnapshot) -> None:
        """See `StreamBase.restore`."""
        super().restore(snapshot)
        self._done_frames = snapshot.frame_index

    def _where(self) -> str:
        before = self._frames_before()
        own = super()._where()
        return own if before is None else f"came up at {own}; it may belong to {before}"

    def _frames_before(self) -> str | None:
        """Those that nobody has waited for yet; None where there are none."""
        first, last = self._done_frames, self._frame_index - 1
        if first > last:
            return None
        return f"frame {first}" if first == last else f"frames {first} to {last}"
