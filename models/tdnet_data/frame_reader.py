"""From image files and videos to frames, as the runtime reads them on the robot."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from tdnet_data.dataset import FrameRef
from tdnet_runtime.errors import DataError
from tdnet_runtime.media.bit_depth import BitDepth
from tdnet_runtime.media.image_file import read_image
from tdnet_runtime.media.images import upright_rgb

if TYPE_CHECKING:
    from tdnet_data.video_frames import VideoFrames

__all__ = ["FrameReader"]

Image = npt.NDArray[np.uint8]


class FrameReader:
    """Reads frames, brought to one size where one is given.

    Args:
        largest: of the 16-bit samples of a few images that stand for all: they have one depth. Called once at most.
        size_hw: (H, W) to which frames are brought, bilinear; None for their own.
        bit_depth: of 16-bit samples; None to find it by `largest`.
    """

    def __init__(
        self,
        largest: Callable[[], int],
        *,
        size_hw: tuple[int, int] | None = None,
        bit_depth: int | None = None,
    ) -> None:
        self._bit_depth = BitDepth(bit_depth, largest)
        self._size_hw = size_hw
        self._videos: dict[Path, VideoFrames] = {}
        self._lock = threading.Lock()

    def read(self, ref: FrameRef) -> Image:
        """See `FrameReading`.

        Raises:
            MediaError: unreadable.
            DataError: damaged, or no such frame.
        """
        if ref.index is not None:
            return self._video(ref.path).read(ref.index)
        file = read_image(ref.path)
        if file.bgr is None or file.damage is not None:
            raise DataError(f"reading a frame: {file.damage}: {ref}")
        return self._sized(upright_rgb(file, self._bit_depth, ref.path))

    def keep(self, refs: Iterable[FrameRef]) -> None:
        """See `FrameReading`: frames of videos are decoded, in order, to a temporary file without a name.

        Raises:
            MediaError: unreadable.
            DataError: no such frame, or no room for them.
        """
        wanted: dict[Path, set[int]] = {}
        for ref in refs:
            if ref.index is not None:
                wanted.setdefault(ref.path, set()).add(ref.index)
        for path, indices in wanted.items():
            self._video(path).keep(indices)

    def _video(self, path: Path) -> VideoFrames:
        from tdnet_data.video_frames import VideoFrames  # with PyAV, only where there are videos

        with self._lock:
            if path not in self._videos:
                self._videos[path] = VideoFrames(path, sized=self._sized)
            return self._videos[path]

    def _sized(self, image: Image) -> Image:
        if self._size_hw is None or image.shape[:2] == self._size_hw:
            return image
        height, width = self._size_hw
        return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
