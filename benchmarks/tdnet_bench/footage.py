"""The frames of a run, at the network's input size, so that all sides get identical pixels."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tdnet_bench.runner import Tick
from tdnet_runtime.media.scene import render

__all__ = ["SCENE_FRAMES", "FileFootage", "Footage", "SceneFootage"]

SCENE_FRAMES = 24  # rendering one takes seconds at full size


class Footage(Protocol):
    """A supply of consecutive frames.

    Attributes:
        description: for the report; file names without their folders.
    """

    description: str

    def frames(self, count: int) -> Iterator[npt.NDArray[np.uint8]]:
        """The first `count` frames, uint8 RGB [H, W, 3], C-contiguous; fewer where it ends before."""


class SceneFootage:
    """The rendered street scene, played forwards and backwards in turn.

    Args:
        height: of the frames.
        width: of the frames.
        count: frames wanted; no more than those are rendered. This is where the time goes.
        tick: called after each rendered frame.
    """

    def __init__(self, *, height: int, width: int, count: int, tick: Tick = lambda: None) -> None:
        self._scenes: list[npt.NDArray[np.uint8]] = []
        for t in range(min(count, SCENE_FRAMES)):
            self._scenes.append(render(t, height=height, width=width))
            tick()
        self.description = f"rendered scene, {len(self._scenes)} frames to and fro"

    def frames(self, count: int) -> Iterator[npt.NDArray[np.uint8]]:
        """See `Footage`; never ends early. The arrays are shared: only read them."""
        turn = max(len(self._scenes) - 1, 1)
        for index in range(count):
            yield self._scenes[(turn - abs(index % (2 * turn) - turn)) % len(self._scenes)]


class FileFootage:
    """A video or a folder of images, each frame resized (bilinear) where it has another size."""

    def __init__(self, path: Path, *, height: int, width: int) -> None:
        self.description = f"{path.name}, resized to {height}x{width} beforehand where needed"
        self._path = path
        self._height, self._width = height, width

    def frames(self, count: int) -> Iterator[npt.NDArray[np.uint8]]:
        """See `Footage`; decoded as it goes.

        Raises:
            MediaError: unreadable, or no frames.
        """
        import cv2  # with the video code, only where files are read

        from tdnet_runtime.media.sources import open_source

        file = f"{self._path.parent}/{self._path.name}"  # ./0, since a plain 0 would be a camera
        with open_source(file) as source:
            for frame in islice(source, count):
                if frame.image.shape[:2] == (self._height, self._width):
                    yield frame.image
                else:
                    size = (self._width, self._height)
                    yield np.asarray(cv2.resize(frame.image, size, interpolation=cv2.INTER_LINEAR), np.uint8)
