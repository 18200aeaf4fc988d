"""One video through one network: push, reset, snapshot, restore.

>>> from tdnet_runtime.stream import StreamState
>>> [state.value for state in StreamState]
['ready', 'failed', 'closed']
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from tdnet_runtime.backends.base import Session
from tdnet_runtime.errors import BackendError, FrameError, StreamError
from tdnet_runtime.manifest import Manifest
from tdnet_runtime.memory import StreamMemory, is_cold, path_index
from tdnet_runtime.preprocess import Resizer, check_frame, check_out

__all__ = ["Result", "Stream", "StreamSnapshot", "StreamState"]


class StreamState(enum.Enum):
    """What a stream can do: everything, nothing but `reset` and `close`, or nothing."""

    READY = "ready"
    FAILED = "failed"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What `push` gives back.

    Attributes:
        labels: uint8 [H, W] of the frame's own size, class indices; the caller's own array (or the
            one passed as `out`), never touched again by the stream.
        path: the sub-network that ran, 1 to m.
        cold: True on the first m−1 frames after a start or reset, which use no attention.
        frame_index: 0 for the first frame after a start or reset.
        stamp_ns: as passed to `push`.
        logits: float32 [K, h, w] at the network's size where the bundle was exported with logits,
            else None; the caller's own array.
    """

    labels: npt.NDArray[np.uint8]
    path: int
    cold: bool
    frame_index: int
    stamp_ns: int | None
    logits: npt.NDArray[np.float32] | None


@dataclass(frozen=True, slots=True, eq=False)
class StreamSnapshot:
    """A stream's whole state between two frames; independent of the stream that made it.

    Attributes:
        bundle_digest: of the bundle that it belongs to.
        precision: of the graphs that made it.
        frame_index: of the next frame.
        frame_size: (H, W) of the stream's frames; None before the first.
        slots: the memory by tensor name, to be treated as read-only.
    """

    bundle_digest: str
    precision: str
    frame_index: int
    frame_size: tuple[int, int] | None
    slots: dict[str, npt.NDArray[Any]]


class Stream:
    """One video. Made by `Segmenter.stream()`; to be used by one thread at a time.

    Every frame that is pushed must have the same size until `reset()`. A call that raises leaves the
    state as it was, except a failure of the engine itself: then only `reset()` and `close()` work.

    Args:
        manifest: the bundle's contract.
        session: buffers and bindings; the stream closes it.
        bundle_digest: identity of the bundle, kept in snapshots.
        precision: of the graphs in use, kept in snapshots.
    """

    def __init__(self, manifest: Manifest, session: Session, *, bundle_digest: str, precision: str) -> None:
        self._manifest = manifest
        self._session = session
        self._bundle_digest = bundle_digest
        self._precision = precision
        self._memory = StreamMemory(manifest, session)
        self._resizer = Resizer((manifest.input.height, manifest.input.width))
        self._lock = threading.Lock()
        self._state = StreamState.READY
        self._frame_index = 0
        self._frame_size: tuple[int, int] | None = None

    @property
    def state(self) -> StreamState:
        """Ready, failed (needs `reset`) or closed."""
        return self._state

    @property
    def frame_index(self) -> int:
        """Index of the next frame; 0 after a start or reset."""
        return self._frame_index

    def push(
        self,
        frame: npt.NDArray[np.uint8],
        *,
        stamp_ns: int | None = None,
        out: npt.NDArray[np.uint8] | None = None,
    ) -> Result:
        """Segment the next frame of the video.

        Args:
            frame: uint8 [H, W, 3], RGB, C-contiguous, any size, the same in all of the stream; read
                before the call returns and never kept.
            stamp_ns: handed through to the result.
            out: uint8 [H, W] for the labels, C-contiguous; None for a new array.

        Raises:
            FrameError: frame or `out` is not as described, or the size changed in mid-stream.
            StreamError: the stream is closed, has failed, or is in use by another thread.
            BackendError: the engine failed; `reset()` is needed.
        """
        with self._exclusive("push"):
            self._require(StreamState.READY, "push")
            size_hw = self._checked_size(frame)
            if out is not None:
                check_out(out, size_hw)
            return self._run(frame, size_hw, stamp_ns, out)

    def reset(self) -> None:
        """Forget all frames: the next one is the first of a new video, of any size."""
        with self._exclusive("reset"):
            self._require_open("reset")
            self._memory.zero()
            self._frame_index = 0
            self._frame_size = None
            self._state = StreamState.READY

    def snapshot(self) -> StreamSnapshot:
        """The state as it is now, copied."""
        with self._exclusive("snapshot"):
            self._require(StreamState.READY, "snapshot")
            return StreamSnapshot(
                self._bundle_digest, self._precision, self._frame_index, self._frame_size, self._memory.dump()
            )

    def restore(self, snapshot: StreamSnapshot) -> None:
        """Continue from a snapshot of any stream of the same bundle and precision.

        Raises:
            StreamError: the snapshot is of another bundle or precision; the state is as it was.
        """
        with self._exclusive("restore"):
            self._require_open("restore")
            own = (self._bundle_digest, self._precision)
            if (snapshot.bundle_digest, snapshot.precision) != own:
                raise StreamError(
                    f"restore() was given a snapshot of bundle {snapshot.bundle_digest[:12]} ({snapshot.precision}); "
                    f"this stream runs {own[0][:12]} ({own[1]}). Use a snapshot of the same bundle, or reset()."
                )
            self._memory.load(snapshot.slots)
            self._frame_index = snapshot.frame_index
            self._frame_size = snapshot.frame_size
            self._state = StreamState.READY

    @property
    def tensor_names(self) -> tuple[str, ...]:
        """Names that `tensor` knows."""
        return self._memory.names

    def tensor(self, name: str) -> npt.NDArray[Any]:
        """A copy of an inner tensor as the last frame left it (`query`, `value`, `slot1_k`, …); for diagnosis.

        Raises:
            StreamError: no tensor of that name.
        """
        with self._exclusive("tensor"):
            self._require_open("tensor")
            try:
                return self._memory.tensor(name)
            except KeyError:
                known = ", ".join(self._memory.names)
                raise StreamError(f"tensor() was asked for {name!r}; this bundle has: {known}") from None

    def close(self) -> None:
        """Release the stream's buffers. Safe to call twice."""
        with self._exclusive("close"):
            if self._state is not StreamState.CLOSED:
                self._state = StreamState.CLOSED
                self._memory.release()
                self._session.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(
        self,
        frame: npt.NDArray[np.uint8],
        size_hw: tuple[int, int],
        stamp_ns: int | None,
        out: npt.NDArray[np.uint8] | None,
    ) -> Result:
        index = self._frame_index
        path = path_index(index, len(self._manifest.paths))
        cold = is_cold(index, self._manifest.state.cold_frames)
        image, labels = self._memory.image.host, self._memory.labels.host
        assert image is not None  # allocated host-visible
        assert labels is not None  # likewise
        result = np.empty(size_hw, dtype=np.uint8) if out is None else out
        self._resizer.put(frame, image[0])
        try:
            self._memory.run(path, cold=cold)
        except BaseException as error:  # an interrupt, too, leaves the slot half written
            self._state = StreamState.FAILED
            if isinstance(error, BackendError):
                raise BackendError(
                    f"{error} (frame {index}, path {path}); call reset() before the next frame"
                ) from error
            raise
        self._resizer.take(labels[0], result)
        logits = self._memory.tensor("logits")[0] if "logits" in self._memory.names else None
        self._frame_index = index + 1
        self._frame_size = size_hw
        return Result(result, path, cold, index, stamp_ns, logits)

    def _checked_size(self, frame: object) -> tuple[int, int]:
        size_hw = check_frame(frame)
        if self._frame_size is not None and size_hw != self._frame_size:
            was = "x".join(map(str, self._frame_size))
            raise FrameError(
                f"push() was given a frame of {size_hw[0]}x{size_hw[1]} in a stream of {was} frames; one stream has "
                "one frame size. Call reset() if a new video begins, or open a second stream."
            )
        self._resizer.require(size_hw)
        return size_hw

    @contextmanager
    def _exclusive(self, call: str) -> Iterator[None]:
        if not self._lock.acquire(blocking=False):
            raise StreamError(
                f"{call}() was called while another thread is inside this stream; a stream belongs to one thread "
                "at a time. Open one stream for each camera: they share the weights."
            )
        try:
            yield
        finally:
            self._lock.release()

    def _require_open(self, call: str) -> None:
        if self._state is StreamState.CLOSED:
            raise StreamError(
                f"{call}() was called on a closed stream; open a new one with segmenter.stream()"
            )

    def _require(self, state: StreamState, call: str) -> None:
        self._require_open(call)
        if self._state is not state:
            raise StreamError(
                f"{call}() was called after the engine failed in mid-frame, so the memory is not whole; call reset() first"
            )
