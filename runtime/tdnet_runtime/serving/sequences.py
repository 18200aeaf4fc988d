"""One stream for each sequence that a server serves: opened at its start, closed at its end or when nobody asks."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import numpy.typing as npt

from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import BackendError, FrameError, OptionError, StreamError
from tdnet_runtime.segmenter import Segmenter
from tdnet_runtime.stream import Result, Stream

__all__ = ["Sequences"]

_GRACE = 2  # a request may have waited in the server's queue, whose clock begins when it comes


class Sequences(Closeable):
    """The streams of a segmenter by sequence; to be used by one thread at a time.

    No sequence ever begins in the middle: a frame whose sequence has no stream here is refused, unless it is a first one.

    Args:
        segmenter: stays the caller's.
        most: streams at once. A further sequence takes the place of the one that has been idle longest, since a server
            that assigns no more than `most` has given that one up.
        idle_s: after which the server gives a sequence up; its stream is closed when twice as long has passed.
        clock: monotonic, s.

    Raises:
        OptionError: `most` or `idle_s` cannot be meant.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        *,
        most: int,
        idle_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if most < 1 or not idle_s > 0:
            raise OptionError(
                f"{most} sequences at once, idle for {idle_s:g} s at most; expected 1 and more, and more than 0"
            )
        self._segmenter = segmenter
        self._most = most
        self._idle_s = idle_s
        self._clock = clock
        self._streams: dict[Hashable, Stream] = {}  # the one that was used last comes last
        self._used_s: dict[Hashable, float] = {}

    def __len__(self) -> int:
        return len(self._streams)

    def push(
        self, sequence: Hashable, frame: npt.NDArray[Any] | None, *, start: bool = False, end: bool = False
    ) -> Result | None:
        """Segment a sequence's next frame.

        Args:
            sequence: which one.
            frame: as for `Stream.push`; None to end the sequence without one.
            start: the frame is the first one: a stream is opened, or what there is of this name is reset.
            end: it is the last one: the stream is closed, even where this raises.

        Returns:
            The result, whose arrays are the caller's own; None without a frame.

        Raises:
            StreamError: the sequence has no stream here, and this is not its first frame.
            FrameError: not a frame, none where one is needed, or of another size. The sequence goes on as it was.
            BackendError: the engine failed. The sequence is closed, and may begin anew.
        """
        try:
            self._close_idle(but=sequence)
            if frame is None:
                if not end:
                    raise FrameError("a request without an image must end its sequence; this one does not")
                return None
            stream = self._begun(sequence) if start else self._known(sequence)
            result = stream.push(np.ascontiguousarray(frame))
        except BackendError:
            end = True
            raise
        finally:
            if end:
                self._close(sequence)
        return result

    def close(self) -> None:
        """Close all streams. Safe to call twice."""
        for sequence in list(self._streams):
            self._close(sequence)

    def _begun(self, sequence: Hashable) -> Stream:
        if sequence in self._streams:
            stream = self._known(sequence)
            stream.reset()
            return stream
        while len(self._streams) >= self._most:
            self._close(next(iter(self._streams)))
        self._streams[sequence] = self._segmenter.stream()
        return self._known(sequence)

    def _known(self, sequence: Hashable) -> Stream:
        """The sequence's stream, which is the one that was used last from here on."""
        stream = self._streams.pop(sequence, None)
        if stream is None:
            raise StreamError(
                f"sequence {sequence!r} has no memory here: it was idle too long, failed, or the server was started anew; "
                "begin it again: its next request must be marked as a sequence's start"
            )
        self._streams[sequence] = stream
        self._used_s[sequence] = self._clock()
        return stream

    def _close_idle(self, *, but: Hashable) -> None:
        limit_s = self._clock() - _GRACE * self._idle_s
        for sequence in [key for key, used_s in self._used_s.items() if used_s < limit_s and key != but]:
            self._close(sequence)

    def _close(self, sequence: Hashable) -> None:
        self._used_s.pop(sequence, None)
        stream = self._streams.pop(sequence, None)
        if stream is not None:
            stream.close()
