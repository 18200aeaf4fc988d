"""What a data set is, wherever it came from: sequences of frames in order of time, some with labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["IGNORE", "Classes", "DataSet", "Frame", "FrameReading", "FrameRef", "LabelReading", "Sequence"]

Image = npt.NDArray[np.uint8]

IGNORE = 255
"""The label of pixels that count neither in training nor in evaluation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Classes:
    """Names and colours (R, G, B) of the classes, in the order of their train ids, from 0 on."""

    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, slots=True)
class FrameRef:
    """Where a frame's picture lies: an image, or a video and the frame's index in it, from 0."""

    path: Path
    index: int | None = None

    def __str__(self) -> str:
        return f"'{self.path}'" if self.index is None else f"frame {self.index} of '{self.path}'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame of a sequence.

    Attributes:
        name: unique within the data set: the path below the images' folder, without its suffix; of a video's frame
            `<video's name>/<index, six digits>`.
        image: the picture.
        label: its label image or colour mask; None where it has none.
        confidence: an image of how sure the label is, 0 to 255; None where nothing tells.
    """

    name: str
    image: FrameRef
    label: Path | None = None
    confidence: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """Frames in order of time; before the first one, and after the last, a stream remembers nothing."""

    name: str
    frames: tuple[Frame, ...]


class FrameReading(Protocol):
    """How a data set's frames become pixels."""

    def read(self, ref: FrameRef) -> Image:
        """The frame, uint8 RGB [H, W, 3], upright; the caller's own array. May be called by several threads.

        Raises:
            TdnetError: it cannot be read; the message names the file.
        """

    def keep(self, refs: Iterable[FrameRef]) -> None:
        """Make these frames quick to read in any order, as far as that needs doing.

        Raises:
            TdnetError: one of them cannot be read.
        """


class LabelReading(Protocol):
    """How a data set's label images become train ids."""

    def read(self, label: Path, confidence: Path | None) -> Image:
        """Train ids, uint8 [H, W], all below the number of classes or `IGNORE`; the caller's own array.

        Raises:
            TdnetError: unreadable, or with a label that is no class; the message names the file.
        """


class DataSet:
    """One split of a data set.

    Attributes:
        name: of the data set, for tables.
        split: such as `train`.
        classes: whose train ids the labels are.
        sequences: of images in natural order of their names, then videos.
        may_be_empty: names of classes that need not occur.
    """

    def __init__(
        self,
        *,
        name: str,
        split: str,
        classes: Classes,
        sequences: tuple[Sequence, ...],
        frames: FrameReading,
        labels: LabelReading,
        may_be_empty: tuple[str, ...] = (),
    ) -> None:
        self.name, self.split = name, split
        self.classes = classes
        self.sequences = sequences
        self.may_be_empty = may_be_empty
        self._frames, self._labels = frames, labels
        self._labelled = tuple(
            (s, f)
            for s, sequence in enumerate(sequences)
            for f, frame in enumerate(sequence.frames)
            if frame.label is not None
        )

    @property
    def labelled(self) -> tuple[tuple[int, int], ...]:
        """(Index of the sequence, index of the frame in it) of each frame with a label, in order."""
        return self._labelled

    @property
    def description(self) -> str:
        """In a few words, such as `camvid train: 367 labelled of 367 frames in 5 sequences`."""
        frames = sum(len(sequence.frames) for sequence in self.sequences)
        count = len(self.sequences)
        return (
            f"{self.name} {self.split}: {len(self._labelled)} labelled of {frames} frames in {count} "
            f"sequence{'s' if count != 1 else ''}"
        )

    def image(self, frame: Frame) -> Image:
        """The frame's picture, uint8 RGB [H, W, 3], upright, the caller's own array.

        Raises:
            TdnetError: it cannot be read; the message names the file.
        """
        return self._frames.read(frame.image)

    def labels(self, frame: Frame) -> Image:
        """The frame's labels, uint8 [H, W], train ids or `IGNORE`; the caller's own array.

        Raises:
            TdnetError: unreadable, or with a label that is no class; the message names the file.
            ValueError: the frame has none.
        """
        if frame.label is None:
            raise ValueError(f"frame {frame.name!r} has no labels")
        return self._labels.read(frame.label, frame.confidence)

    def clip_frames(self, reach: int) -> list[Frame]:
        """The labelled frames and those up to `reach` frames before one, each once, in order."""
        wanted: list[Frame] = []
        for sequence in self.sequences:
            last = -1
            for index, frame in enumerate(sequence.frames):
                if frame.label is not None:
                    wanted += sequence.frames[max(index - reach, last + 1) : index + 1]
                    last = index
        return wanted

    def keep(self, reach: int) -> None:
        """Make `clip_frames(reach)` quick to read in any order: those of a video are decoded, once.

        Raises:
            TdnetError: one of them cannot be read.
        """
        self._frames.keep(frame.image for frame in self.clip_frames(reach))
