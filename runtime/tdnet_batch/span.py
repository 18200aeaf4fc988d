"""A piece of a video: which frames a stream is given so that those of the piece come out as of the whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tdnet_runtime.media.frames import FrameSource, SourceFrame

__all__ = ["Span", "SpanReader"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Frames `start` to `stop` (not included; None: to the end) of a video, for a network of so many `paths`."""

    start: int
    stop: int | None
    paths: int

    @classmethod
    def piece(cls, number: int, *, of: int, frames: int, paths: int) -> Span:
        """One of so many pieces of so many frames each; the last one goes to the end, however far that is."""
        stop = None if number == of - 1 else (number + 1) * frames
        return cls(start=number * frames, stop=stop, paths=paths)

    @property
    def earliest(self) -> int:
        """The first frame that may be needed.

        A frame's labels depend on the m−1 frames before it, and on which sub-network runs on it (spec §3). A stream
        begins with its first sub-network: so the warm-up begins where the whole video's stream comes to it, at least
        m−1 frames before, at most 2m−2.
        """
        return max(0, self.start - 2 * self.paths + 2)


class SpanReader:
    """Gives the frames of a span, the warm-up before them, and as many after them as the network has paths.

    Args:
        span: the piece.

    Attributes:
        index: of the frame that was given last, in the whole video.
        warm_up: how many were given before the span.
    """

    def __init__(self, span: Span) -> None:
        self._span = span
        self.index = -1
        self.warm_up = 0

    def __call__(self, source: FrameSource) -> Iterator[SourceFrame]:
        """The frames; those before them are decoded and dropped."""
        span, begun, started = self._span, 0, False
        for index, frame in enumerate(source):
            if frame.begins:
                begun = index
            started = started or (index >= span.earliest and (index - begun) % span.paths == 0)
            if not started:
                continue
            self.index = index
            self.warm_up += index < span.start
            yield frame
            if span.stop is not None and index + 1 >= span.stop + span.paths:
                return

    @property
    def inside(self) -> bool:
        """The last frame is of the span."""
        return self._span.start <= self.index and not self.after

    @property
    def after(self) -> bool:
        """It comes behind it."""
        return self._span.stop is not None and self.index >= self._span.stop
