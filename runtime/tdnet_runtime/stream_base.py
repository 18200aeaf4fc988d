"""What all streams have in common: one video's state, and who may touch it when."""

from __future__ import annotations

import enum
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from tdnet_runtime.backends.base import Capturing, DeviceSession, MemoryUse, Session
from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import BackendError, FrameError, StreamError
from tdnet_runtime.gpu.frames import is_device_frame
from tdnet_runtime.manifest import Manifest
from tdnet_runtime.memory import StreamMemory, is_cold, path_index, require_own_labels
from tdnet_runtime.preprocess import Resizer, check_frame
from tdnet_runtime.turn import TakesTurns, in_turn

if TYPE_CHECKING:
    from tdnet_runtime.gpu.device import ForeignArray

__all__ = ["StreamBase", "StreamSnapshot", "StreamState"]

logger = logging.getLogger(__name__)


class StreamState(enum.Enum):
    """What a stream can do: everything, nothing but `reset`, `restore` and `close`, or nothing."""

    READY = "ready"
    FAILED = "failed"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, eq=False)
class StreamSnapshot:
    """A stream's whole state between two frames; independent of the stream that made it.

    Attributes:
        bundle_digest: of the bundle that it belongs to.
        precision: of the graphs that made it.
        frame_index: of the next frame.
        frame_size: (H, W) of the stream's frames; None before the first.
        slots: the memory by tensor name (`slot1_k`, …), to be treated as read-only: host arrays of their own,
            float32 or float16 [C, n] as the bundle's manifest gives them at this precision.
    """

    bundle_digest: str
    precision: str
    frame_index: int
    frame_size: tuple[int, int] | None
    slots: dict[str, npt.NDArray[Any]]


class StreamBase(Closeable, TakesTurns):
    """One video; to be used by one thread at a time, and in the process that made it: see `ForkBound`.

    Every frame that is pushed must have the same size until `reset()`. A call that raises leaves the
    state as it was, except a failure of the engine itself, and whatever ends a frame in the middle (Ctrl-C): then only
    `reset()`, `restore()` and `close()` work.

    Args:
        manifest: the bundle's contract, with the tensors of `precision`.
        session: buffers and bindings; the stream closes it.
        bundle_digest: identity of the bundle, kept in snapshots.
        precision: of the graphs in use, kept in snapshots.
    """

    def __init__(self, manifest: Manifest, session: Session, *, bundle_digest: str, precision: str) -> None:
        super().__init__()
        self._manifest = manifest
        self._session = session
        self._device = session if isinstance(session, DeviceSession) else None
        self._capturing = session if isinstance(session, Capturing) else None
        self._bundle_digest = bundle_digest
        self._precision = precision
        self._memory = StreamMemory(manifest, session)
        self._network_size = (manifest.input.height, manifest.input.width)
        self._resizer = Resizer(self._network_size)
        self._state = StreamState.READY
        self._frame_index = 0
        self._frame_size: tuple[int, int] | None = None

    @property
    def state(self) -> StreamState:
        """Ready, failed (needs `reset`) or closed."""
        return StreamState.CLOSED if self.stranded else self._state

    @property
    def frame_index(self) -> int:
        """Index of the next frame; 0 after a start or reset."""
        return self._frame_index

    @property
    def memory_use(self) -> MemoryUse | None:
        """What this stream holds on the GPU, without the weights; None where the backend has none."""
        return None if self._device is None else self._device.memory_use

    @in_turn
    def prepare(self) -> None:
        """Between two frames: do what the next one's attention needs of past frames alone, so that its `push` takes less.

        No thread is started, and no result changes: labels are the same to the bit, whether it was called or not. Only
        networks of three paths or more have such a part (td4-psp18), and only onnxruntime and openvino do it apart.
        Elsewhere it does nothing and returns at once, as it does while the memory is cold, after a frame without attention
        (the next one is taken to be like it), and when it is called again. What it did belongs to the memory as it is: the
        next `push` uses it up, or throws it away (without attention, or where it fails), as `reset` and `restore` do. A
        frame that is refused leaves it as it is.

        Raises:
            StreamError: the stream is closed, has failed, or is in use by another thread.
            BackendError: the engine failed; `reset()` is needed.
        """
        self._require(StreamState.READY, "prepare")
        if not is_cold(self._frame_index, self._manifest.state.cold_frames):
            with self._failing("in prepare()"):
                self._memory.prepare(path_index(self._frame_index, len(self._manifest.paths)))

    @in_turn
    def reset(self) -> None:
        """Forget all frames: the next one is the first of a new video, of any size.

        Raises:
            StreamError: the stream is closed, or in use by another thread.
            BackendError: the engine failed; the stream is failed until a later `reset` works.
        """
        self._require_open("reset")
        with self._rewriting("reset"):
            self._memory.zero()
            self._frame_index = 0
            self._frame_size = None

    @in_turn
    def snapshot(self) -> StreamSnapshot:
        """The state as it is now, copied.

        Raises:
            StreamError: the stream is closed, has failed, or is in use by another thread.
            BackendError: the engine failed, or a frame that nobody waited for has; `reset()` is needed.
        """
        self._require(StreamState.READY, "snapshot")
        with self._failing("in snapshot()"):
            slots = self._memory.dump()
        return StreamSnapshot(
            self._bundle_digest, self._precision, self._frame_index, self._frame_size, slots
        )

    @in_turn
    def restore(self, snapshot: StreamSnapshot) -> None:
        """Continue from a snapshot of any stream of the same bundle and precision.

        Raises:
            StreamError: the snapshot is of another bundle or precision, and the state is as it was; or the stream is
                closed, or in use by another thread.
            BackendError: the engine failed; the stream is failed until a later `reset` or `restore` works.
        """
        self._require_open("restore")
        if not isinstance(snapshot, StreamSnapshot):
            raise StreamError(
                f"restore() was given a {type(snapshot).__name__}; expected what snapshot() of a stream gives"
            )
        own = (self._bundle_digest, self._precision)
        if (snapshot.bundle_digest, snapshot.precision) != own:
            raise StreamError(
                f"restore() was given a snapshot of bundle {snapshot.bundle_digest[:12]} ({snapshot.precision}); "
                f"this stream runs {own[0][:12]} ({own[1]}). Use a snapshot of the same bundle, or reset()."
            )
        with self._rewriting("restore"):
            self._memory.load(snapshot.slots)
            self._frame_index = snapshot.frame_index
            self._frame_size = snapshot.frame_size

    @property
    def tensor_names(self) -> tuple[str, ...]:
        """Names that `tensor` knows."""
        return self._memory.names

    @in_turn
    def tensor(self, name: str) -> npt.NDArray[Any]:
        """A copy of an inner tensor as the last frame left it (`query`, `value`, `slot1_k`, …); for diagnosis.

        Returns:
            The caller's own host array, of the shape and dtype that the manifest gives the tensor at this precision:
            float32 or float16 [1, C, h, w] for `query` and `value`, [C, n] for what a slot keeps of n positions, uint8
            [1, H, W, 3] for `image`, uint8 [1, H, W] for `labels`.

        Raises:
            StreamError: no tensor of that name, or the stream is closed, or in use by another thread.
            BackendError: the engine failed, or a frame that nobody waited for has; `reset()` is needed.
        """
        self._require_open("tensor")
        if name not in self._memory.names:
            known = ", ".join(self._memory.names)
            raise StreamError(f"tensor() was asked for {name!r}; this bundle has: {known}")
        with self._failing("in tensor()"):
            return self._memory.tensor(name)

    def close(self) -> None:
        """Release the stream's buffers. Safe to call twice; nothing in a forked child."""
        if not self.stranded:
            self._close()

    @in_turn
    def _close(self) -> None:
        if self._state is not StreamState.CLOSED:
            self._state = StreamState.CLOSED
            self._memory.release()
            self._session.close()

    # For the subclasses' push

    def _admitted(self, frame: object) -> tuple[tuple[int, int], ForeignArray | None]:
        """(H, W) of a frame that may be pushed, and the frame itself where it lies on the GPU."""
        view = None
        if self._device is not None and is_device_frame(frame):
            with self._failing(self._where()):
                view = self._device.admit(frame)
            size_hw = (view.shape[0], view.shape[1])
        else:
            size_hw = check_frame(frame)
        if self._frame_size is not None and size_hw != self._frame_size:
            was = "x".join(map(str, self._frame_size))
            raise FrameError(
                f"push() was given a frame of {size_hw[0]}x{size_hw[1]} in a stream of {was} frames; one stream has "
                "one frame size. Call reset() if a new video begins, or open a second stream."
            )
        return size_hw, view

    def _require_pushable(self, *, attention: bool) -> None:
        self._require(StreamState.READY, "push")
        if not attention:
            require_own_labels(self._manifest, asked="push(attention=False)")

    def _advance(
        self, frame: Any, view: ForeignArray | None, size_hw: tuple[int, int], *, attention: bool
    ) -> tuple[int, bool, int]:
        """Run the frame; (path, cold, index) of it. The results are in the memory's buffers.

        The stream is failed until `push` has handed them out and makes it ready again: after a failure of the engine, and
        after anything else (an interrupt, too) that leaves the slot half written, or the frame in the memory without its
        caller having its labels, only `reset` helps.
        """
        index = self._frame_index
        path = path_index(index, len(self._manifest.paths))
        cold = not attention or is_cold(index, self._manifest.state.cold_frames)
        with self._failing(self._where()):
            if view is not None and self._device is not None:
                self._device.feed(view)
            else:
                image = self._memory.image.host
                assert image is not None  # allocated host-visible
                self._resizer.put(frame, image[0])
            self._state = StreamState.FAILED
            self._memory.run(path, cold=cold, attention=attention)
        self._frame_index = index + 1
        self._frame_size = size_hw
        return path, cold, index

    def _where(self) -> str:
        """Which frame a failure that surfaces now belongs to."""
        path = path_index(self._frame_index, len(self._manifest.paths))
        return f"frame {self._frame_index}, path {path}"

    def _captured(self) -> bool | None:
        return None if self._capturing is None else self._capturing.captured

    @contextmanager
    def _failing(self, where: str) -> Iterator[None]:
        """A failure of the engine in here fails the stream, and says where it came up."""
        try:
            yield
        except BackendError as error:
            self._state = StreamState.FAILED
            raise BackendError(f"{error} ({where}); call reset() before the next frame") from error

    @contextmanager
    def _rewriting(self, call: str) -> Iterator[None]:
        """Work that makes the memory whole: failed until it is done, whatever ends it."""
        abandoned = self._state is StreamState.FAILED
        self._state = StreamState.FAILED
        with self._failing(f"in {call}()"):
            self._settle(quiet=abandoned)
            yield
        self._state = StreamState.READY

    def _settle(self, *, quiet: bool) -> None:
        """Wait for the GPU; `quiet`: what frames leave behind that were given up already is only logged."""
        if self._device is None:
            return
        try:
            self._device.settle()
        except BackendError as error:
            if not quiet:
                raise
            logger.info("of the frames before: %s", error)

    def _require_open(self, call: str) -> None:
        if self._state is StreamState.CLOSED:
            raise StreamError(
                f"{call}() was called on a closed stream; open a new one with segmenter.stream()"
            )

    def _require(self, state: StreamState, call: str) -> None:
        self._require_open(call)
        if self._state is not state:
            raise StreamError(
                f"{call}() was called after a frame that failed or was interrupted, so the memory is not whole; "
                "call reset() first"
            )
