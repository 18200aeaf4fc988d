"""One source's stream of one network, and when the frames that it remembers were taken."""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tdnet_runtime.backends.base import MemoryUse
from tdnet_runtime.errors import OptionError
from tdnet_runtime.live.deadline import NO_ATTENTION, SMALLER
from tdnet_runtime.manifest import Manifest
from tdnet_runtime.memory import require_own_labels

__all__ = ["LiveEngine", "LiveStream", "Network", "networks_of"]


class LiveStream(Protocol):
    """What the live layer needs of `tdnet_runtime.Stream`."""

    def push(self, frame: npt.NDArray[np.uint8], *, stamp_ns: int | None = None) -> Any:
        """A `tdnet_runtime.Result`. With `attention=False` too, where a deadline has the mode `no_attention`."""

    def reset(self) -> None:
        """Forget all frames."""

    def close(self) -> None:
        """Release its buffers."""


class LiveEngine(Protocol):
    """What the live layer needs of `tdnet_runtime.Segmenter`."""

    @property
    def manifest(self) -> Manifest:
        """The bundle's."""

    def stream(self) -> LiveStream:
        """A new stream."""


class Network:
    """A stream that is opened when it is needed, and anew where it was closed.

    Args:
        engine: whose stream it is.

    Attributes:
        remembered_ns: times of the last frames, as many as the memory holds entries of.
    """

    def __init__(self, engine: LiveEngine) -> None:
        self.remembered_ns: deque[int] = deque(maxlen=engine.manifest.state.cold_frames)
        self._engine = engine
        self._stream: LiveStream | None = None
        self._fresh = True  # it remembers nothing

    @property
    def memory_use(self) -> MemoryUse | None:
        """Of the stream, on a GPU."""
        use = getattr(self._stream, "memory_use", None)
        return use if isinstance(use, MemoryUse) else None

    def open(self) -> LiveStream:
        """The stream, in the thread that pushes: CUDA graphs of ONNX Runtime's belong to the one that opens it.

        Raises:
            BackendError: the engine cannot make it.
        """
        if self._stream is None:
            self._stream, self._fresh = self._engine.stream(), True
        return self._stream

    def ready(self, *, empty: bool) -> LiveStream:
        """The stream for the next frame, which is to be pushed; emptied first where asked.

        Raises:
            TdnetError: the engine failed.
        """
        stream = self.open()
        if empty and not self._fresh:
            stream.reset()
        self._fresh = False
        return stream

    def close(self) -> None:
        """Release the stream. Safe to call twice."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()


def networks_of(
    name: str, engine: LiveEngine, smaller: LiveEngine | None, modes: tuple[str, ...]
) -> list[Network]:
    """The network, and the smaller one where a mode needs it.

    Raises:
        OptionError: it is absent or has other classes, or one that is to go without attention cannot.
    """
    if NO_ATTENTION in modes:
        asked = f"{name}: the mode {NO_ATTENTION!r}"
        if SMALLER not in modes[: modes.index(NO_ATTENTION)]:
            require_own_labels(engine.manifest, asked=asked)
        if smaller is not None:
            require_own_labels(smaller.manifest, asked=f"{asked} of the smaller network")
    if smaller is None:
        if SMALLER in modes:
            raise OptionError(f"{name}: the mode {SMALLER!r} needs a second segmenter; give it as smaller=")
        return [Network(engine)]
    if smaller.manifest.classes != engine.manifest.classes:
        raise OptionError(
            f"{name}: the smaller network has other classes; expected the same, in the same order"
        )
    return [Network(engine), Network(smaller)]
