"""What a source of frames is, whatever it reads from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tdnet_runtime.media.damage import DamageLog
from tdnet_runtime.media.orientation import Orientation

__all__ = ["Fact", "FrameSource", "SourceFrame", "reason"]

Fact = str | int | float | bool
"""One value of `FrameSource.facts`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFrame:
    """One frame.

    Attributes:
        image: uint8 [H, W, 3], RGB, upright, C-contiguous; the receiver's own array.
        name: for a file made from this frame; unique within the source. The stem of an image's file name,
            after `<folder>/` where a source has several; otherwise the frame's index from 0 in at least six
            digits. A frame left out as damaged keeps its index to itself.
        stamp_ns: strictly increasing. Video: presentation time by the file. Camera: `time.monotonic_ns()`
            when the frame arrived. Folder: as though taken at 25 frames/s.
        orientation: by which the stored pixels were made upright.
        begins: it is the first of a sequence after another one: no stream may remember what came before, and
            its size may be another.
        duration_ns: for how long it is shown, by the file; None where nothing says so.
        pixel_aspect: width of one pixel of `image` by its height.
        lost_before: frames that the source knows were lost directly before this one: gaps in sequence numbers, in
            stamps, in a decoder's order. 0 does not say that none was.
        frame_id: of the ROS header that it came with; empty without one.
        arrival_ns: `time.monotonic_ns()` when it arrived; None where it is read from a file.
    """

    image: npt.NDArray[np.uint8]
    name: str
    stamp_ns: int
    orientation: Orientation = Orientation.AS_STORED
    begins: bool = False
    duration_ns: int | None = None
    pixel_aspect: Fraction = Fraction(1)
    lost_before: int = 0
    frame_id: str = ""
    arrival_ns: int | None = None


class FrameSource(AbstractContextManager["FrameSource"], Protocol):
    """Frames of one size in order, read as they are asked for; a context manager.

    Iterate once, in one thread. Leaving the context releases the file or device, when no thread iterates any more.

    Attributes:
        live: frames come by the clock, whether anybody asks or not (cameras, topics): one who is late wants the newest.
            False for files and logs, which wait.
    """

    live: bool

    def stop(self) -> None:
        """Let the iteration end soon, as though the source had; from any thread, and for good. Returns at once.

        At the latest after the frame that is being read, or after the read time-out of the device (5 s or less).
        """

    @property
    def description(self) -> str:
        """What it reads, in a few words."""

    @property
    def fps(self) -> Fraction | None:
        """Mean frames per second of a video; None where frames come without a rate of their own."""

    @property
    def frame_count(self) -> int | None:
        """Frames to expect, for showing progress: as the file claims. None: unknown or endless."""

    @property
    def size_hw(self) -> tuple[int, int]:
        """(H, W) of every frame, upright; of the first sequence where there are several."""

    @property
    def damage(self) -> DamageLog:
        """What was damaged so far, and left out or used."""

    @property
    def facts(self) -> Mapping[str, Fact]:
        """What a run's summary tells of the data and their reader, JSON-like; whole when all was read.

        Always `reader` (a library and its version) and `orientation` (words of it, or `mixed`). Images:
        `bit_depth`. Videos: colour matrix and range. Cameras: what was asked for and what is given.
        """

    def __iter__(self) -> Iterator[SourceFrame]:
        """The frames.

        Raises:
            MediaError: at the first frame that cannot be had, or is damaged where that is to fail; all
                before it were given.
        """


def reason(error: Exception) -> str:
    """Why an OSError, FFmpegError or other library's error happened, without its decoration."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
