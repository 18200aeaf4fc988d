"""What a source of frames is, whatever it reads from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["FrameSource", "SourceFrame", "reason"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFrame:
    """One frame.

    Attributes:
        image: uint8 [H, W, 3], RGB, C-contiguous; the receiver's own array.
        name: for a file made from this frame; unique within the source. The stem of an image's file name,
            otherwise the frame's index from 0 in at least six digits.
        stamp_ns: strictly increasing for cameras, as the file says for videos. Video: presentation time.
            Camera: `time.monotonic_ns()` when the frame arrived. Folder: as though taken at 25 frames/s.
    """

    image: npt.NDArray[np.uint8]
    name: str
    stamp_ns: int


class FrameSource(AbstractContextManager["FrameSource"], Protocol):
    """Frames of one size in order, read as they are asked for; a context manager.

    Iterate once. Leaving the context releases the file or device.
    """

    @property
    def description(self) -> str:
        """What it reads, in a few words."""

    @property
    def fps(self) -> Fraction | None:
        """Exact frames per second of a video; None where frames come without a rate of their own."""

    @property
    def frame_count(self) -> int | None:
        """Frames to expect, for showing progress: as the file claims. None: unknown or endless."""

    @property
    def size_hw(self) -> tuple[int, int]:
        """(H, W) of every frame."""

    def __iter__(self) -> Iterator[SourceFrame]:
        """The frames.

        Raises:
            MediaError: at the first frame that cannot be had; all before it were given.
        """


def reason(error: Exception) -> str:
    """Why an OSError, FFmpegError or other library's error happened, without its decoration."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
