"""One video on a Triton server: a sequence of its own there."""

from __future__ import annotations

import contextlib
import secrets

import numpy as np
import numpy.typing as npt

from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import BackendError, FrameError, StreamError, TdnetError
from tdnet_runtime.manifest import CONFIDENCE, IMAGE, LABELS, Manifest
from tdnet_runtime.memory import is_cold, path_index
from tdnet_runtime.preprocess import Resizer, check_frame, check_out
from tdnet_runtime.serving.frame_count import counted
from tdnet_runtime.serving.http_model import HttpModel, ServerRefusedError, Tensors
from tdnet_runtime.stream import Result
from tdnet_runtime.turn import TakesTurns, in_turn

__all__ = ["RemoteStream"]


class RemoteStream(Closeable, TakesTurns):
    """One video on the server; `push`, `prepare`, `reset` and `close` as of `tdnet_runtime.Stream`.

    Frames are brought to the network's size here, by the same code, so that labels are the same and no pixels travel
    for nothing. A call that raises FrameError leaves the state as it was; after a BackendError, or where a frame was
    interrupted, only `reset` and `close` do.

    Args:
        manifest: of the bundle.
        model: a connection of its own, which the stream closes.
        ending: what ends a sequence: `alone` for a request without a frame, `frame` for one with any, empty for nothing.
    """

    def __init__(self, manifest: Manifest, model: HttpModel, *, ending: str) -> None:
        super().__init__()
        self._manifest = manifest
        self._model = model
        self._ending = ending
        size_hw = (manifest.input.height, manifest.input.width)
        self._image = np.zeros((1, *size_hw, 3), dtype=np.uint8)
        self._resizer = Resizer(size_hw)
        self._sequence = secrets.randbits(62) + 1  # never 0, which is no sequence
        self._frame_index = 0
        self._frame_size: tuple[int, int] | None = None
        self._begun = False  # the server may have a sequence of this number
        self._failed = self._closed = False

    @property
    def frame_index(self) -> int:
        """Index of the next frame; 0 after a start or reset."""
        return self._frame_index

    @in_turn
    def push(
        self,
        frame: npt.NDArray[np.uint8],
        *,
        stamp_ns: int | None = None,
        out: npt.NDArray[np.uint8] | None = None,
    ) -> Result:
        """Segment the next frame of the video; see `Stream.push`.

        Raises:
            FrameError: frame or `out` is not as described there, or the size changed in mid-stream.
            StreamError: the stream is closed, has failed, or is in use by another thread.
            BackendError: the server cannot be reached, refuses, gave the sequence up, or has mixed it with another's;
                `reset()` is needed.
        """
        self._require_whole("push")
        size_hw = check_frame(frame)
        if self._frame_size not in (None, size_hw):
            raise FrameError(
                f"push() was given a frame of {size_hw[0]}x{size_hw[1]} in a stream of frames of another size; call "
                "reset() if a new video begins, or open a second stream"
            )
        self._resizer.require(size_hw)
        if out is not None:
            check_out(out, size_hw)
        labels = np.empty(size_hw, dtype=np.uint8) if out is None else out
        self._resizer.put(frame, self._image[0])
        index = self._frame_index
        self._failed = True  # until the answer is whole, and handed out
        try:
            self._begun = True
            tensors = self._model.infer(
                {IMAGE: self._image},
                {"sequence_id": self._sequence, "sequence_start": index == 0, "sequence_end": False},
            )
            self._check(tensors, index)
        except BackendError as error:
            lost = ""
            if isinstance(error, ServerRefusedError) and "START flag" in str(error):
                lost = ": it has given this sequence up, which was idle for too long, or was started anew"
            raise BackendError(
                f"{error}{lost} (frame {index}); call reset() before the next frame"
            ) from error
        self._frame_index, self._frame_size = index + 1, size_hw
        self._resizer.take(tensors[LABELS][0], labels)
        confidence = None
        if CONFIDENCE in tensors:
            confidence = np.empty(size_hw, dtype=np.uint8)
            self._resizer.take(tensors[CONFIDENCE][0], confidence)
        logits = tensors.get("logits")
        taken = Result(
            labels=labels,
            path=path_index(index, len(self._manifest.paths)),
            cold=is_cold(index, self._manifest.state.cold_frames),
            frame_index=index,
            stamp_ns=stamp_ns,
            logits=None if logits is None else logits[0],
            confidence=confidence,
        )
        self._failed = False
        return taken

    @in_turn
    def prepare(self) -> None:
        """Nothing: the memory is the server's. See `Stream.prepare`."""
        self._require_whole("prepare")

    @in_turn
    def reset(self) -> None:
        """Forget all frames: the next one begins a new sequence, of frames of any size. Asks nothing of the server."""
        self._require_open("reset")
        self._frame_index, self._frame_size, self._failed = 0, None, False

    def close(self) -> None:
        """End the sequence, so that another one may take its place. Safe to call twice; nothing in a forked child.

        Where the server does not answer, its own limit for idle sequences ends it.
        """
        if not self.stranded:
            self._close()

    @in_turn
    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            if self._ending and self._begun and not self._failed:
                with contextlib.suppress(TdnetError):
                    self._model.infer(
                        {} if self._ending == "alone" else {IMAGE: self._image},
                        {"sequence_id": self._sequence, "sequence_start": False, "sequence_end": True},
                    )
        finally:
            self._model.close()

    def _check(self, tensors: Tensors, index: int) -> None:
        """Raise BackendError unless the answer is of this frame of this sequence, and whole."""
        size = (1, self._manifest.input.height, self._manifest.input.width)
        for name in (LABELS, *({CONFIDENCE} & tensors.keys())):
            found = tensors.get(name)
            if found is None or found.shape != size or found.dtype != np.uint8:
                what = "none" if found is None else f"{found.dtype} {list(found.shape)}"
                raise BackendError(
                    f"the model {self._model_name} gave {what} for {name}, expected uint8 {list(size)}"
                )
        logits = tensors.get("logits")
        if logits is not None and (logits.ndim != 4 or logits.shape[0] != 1):
            raise BackendError(
                f"the model {self._model_name} gave {logits.dtype} {list(logits.shape)} for logits, expected [1, K, h, w]"
            )
        told = tensors.get("frame_index")
        expected = counted(index, paths=len(self._manifest.paths))
        if told is not None and told.ravel().tolist() != [expected]:
            raise BackendError(
                f"the model {self._model_name} has counted {', '.join(map(str, told.ravel()[:9])) or 'no'} frames before "
                f"this one in the sequence, expected {expected}: somebody else uses the same sequence number, and the "
                "memory is of both"
            )

    @property
    def _model_name(self) -> str:
        return repr(self._model.name)

    def _require_whole(self, call: str) -> None:
        self._require_open(call)
        if self._failed:
            raise StreamError(
                f"{call}() was called after the server failed in mid-stream; call reset() first: the next frame begins anew"
            )

    def _require_open(self, call: str) -> None:
        if self._closed:
            raise StreamError(
                f"{call}() was called on a closed stream; open a new one with segmenter.stream()"
            )
