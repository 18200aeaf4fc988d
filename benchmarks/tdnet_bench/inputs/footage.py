"""The frames of a run, at the network's input size, so that all sides get identical pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from tdnet_runtime.file_names import as_utf8
from tdnet_runtime.media.scene import render

if TYPE_CHECKING:
    from tdnet_runtime.media.frames import FrameSource

__all__ = ["SCENE_FRAMES", "FileFootage", "Footage", "FootageFrame", "SceneFootage", "to_and_fro"]

SCENE_FRAMES = 24  # rendering one takes seconds at full size


class FootageFrame(NamedTuple):
    """One frame of a sequence, at a place from 0 on; at 0 a stream begins anew.

    The image is uint8 RGB [H, W, 3], C-contiguous, of the network's size, and may be shared: only read it. The name
    is the stem of its image file, after the sequence's folder where there are several; its index for other footage.
    Its file stores it in `stored_hw`, where a mark of orientation makes that another size than the upright one.
    """

    image: npt.NDArray[np.uint8]
    name: str
    place: int
    stored_hw: tuple[int, int] | None = None


class Footage(Protocol):
    """A supply of consecutive frames, which had `size_hw` before they were brought to the network's size.

    `description` is for the report: file names without their folders.
    """

    description: str
    size_hw: tuple[int, int]

    def frames(self, count: int) -> Iterator[FootageFrame]:
        """The first `count` frames; fewer where it ends before."""


def to_and_fro(index: int, count: int) -> int:
    """Which of `count` pictures comes at `index` when they are played forwards and backwards in turn.

    >>> [to_and_fro(index, 3) for index in range(8)]
    [0, 1, 2, 1, 0, 1, 2, 1]
    """
    turn = max(count - 1, 1)
    return (turn - abs(index % (2 * turn) - turn)) % count


class SceneFootage:
    """The rendered street scene, played forwards and backwards in turn; no more than `count` frames are rendered."""

    def __init__(self, *, height: int, width: int, count: int) -> None:
        self._images: list[npt.NDArray[np.uint8]] = []
        self.scenes = min(count, SCENE_FRAMES)
        self.description = f"rendered scene, {self.scenes} frames to and fro"
        self.size_hw = (height, width)

    def render(self, *, tick: Callable[[], None] = lambda: None) -> None:
        """Make the pictures, which takes a while; `tick` is called after each. To be called once, first."""
        height, width = self.size_hw
        for t in range(self.scenes):
            self._images.append(render(t, height=height, width=width))
            tick()

    def frames(self, count: int) -> Iterator[FootageFrame]:
        """See `Footage`; never ends early."""
        for index in range(count):
            yield FootageFrame(self._images[to_and_fro(index, self.scenes)], f"{index:06d}", index)


class FileFootage:
    """A video, a folder of images, or a folder of such folders: each of these is a sequence of its own.

    Frames are resized (bilinear) where they have another size than the network's; `size_hw` is the first sequence's.

    Raises:
        MediaError: unreadable, or no frames.
    """

    def __init__(self, path: Path, *, height: int, width: int) -> None:
        from tdnet_runtime.media.images import sequence_folders  # with the video code, only for files

        folders = sequence_folders(path) if path.is_dir() else []
        self._path, self._first = path, folders[0] if folders else path
        self._height, self._width = height, width
        with self.open() as source:
            self.size_hw = source.size_hw
        sequences = f", {len(folders)} sequences" if folders else ""
        resized = "" if self.size_hw == (height, width) else f", resized to {height}x{width} beforehand"
        self.description = f"{as_utf8(path.name)}{sequences}, {self.size_hw[0]}x{self.size_hw[1]}{resized}"

    def open(self) -> FrameSource:
        """The file itself, of several sequences the first, at its first frame, of its own size.

        Raises:
            MediaError: unreadable, or no frames.
        """
        return _open(self._first)

    def frames(self, count: int) -> Iterator[FootageFrame]:
        """See `Footage`; decoded as it goes.

        Raises:
            MediaError: unreadable.
        """
        return islice(self._all_frames(), count)

    def _all_frames(self) -> Iterator[FootageFrame]:
        import cv2  # with the video code, only where files are read

        with _open(self._path) as source:
            place = 0
            for frame in source:
                image, upright_hw = frame.image, frame.image.shape[:2]
                if upright_hw != (self._height, self._width):
                    size = (self._width, self._height)
                    image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)
                place = 0 if frame.begins else place
                stored_hw = upright_hw[::-1] if frame.orientation.swaps_sides else None
                yield FootageFrame(image, frame.name, place, stored_hw)
                place += 1


def _open(path: Path) -> FrameSource:
    from tdnet_runtime.media.damage import OnDamage  # with the video code, only where files are read
    from tdnet_runtime.sources.registry import open_source

    # ./0, since a plain 0 would be a camera. All sides are to get whole frames, and every run the same.
    return open_source(f"{path.parent}/{path.name}", on_damage=OnDamage.FAIL)
