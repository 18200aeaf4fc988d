"""Frames of a video by their index, of which those that are wanted often are kept."""

from __future__ import annotations

import errno
import os
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tdnet_runtime.errors import DataError
from tdnet_runtime.media.damage import OnDamage
from tdnet_runtime.media.frames import SourceFrame, reason
from tdnet_runtime.media.video import VideoSource

__all__ = ["VideoFrames"]

Image = npt.NDArray[np.uint8]


class VideoFrames:
    """One video, which is decoded from its beginning on: what is read in order is decoded once.

    Kept frames lie in a temporary file without a name, which the system's page cache holds in memory while there is
    room. Several threads may read.

    Args:
        path: of the video.
        sized: brings a frame to the data set's size.
    """

    def __init__(self, path: Path, *, sized: Callable[[Image], Image]) -> None:
        self._path = path
        self._sized = sized
        self._lock = threading.Lock()
        self._source: VideoSource | None = None
        self._frames: Iterator[SourceFrame] = iter(())
        self._next = 0
        self._wanted: set[int] = set()
        self._kept: dict[int, int] = {}
        self._shape: tuple[int, ...] = ()
        self._file = -1

    def read(self, index: int) -> Image:
        """The frame, uint8 RGB [H, W, 3]; the caller's own array.

        Raises:
            MediaError: the video cannot be read, or is damaged before it.
            DataError: it has no such frame.
        """
        with self._lock:
            if index not in self._kept:
                return self._decoded(index)
            place = self._kept[index]
        size = int(np.prod(self._shape))
        return np.frombuffer(bytearray(os.pread(self._file, size, place * size)), np.uint8).reshape(
            self._shape
        )

    def keep(self, indices: set[int]) -> None:
        """Decode these frames and keep them.

        Raises:
            MediaError: the video cannot be read, or is damaged before one of them.
            DataError: it has no such frame, or there is no room to keep them.
        """
        with self._lock:
            self._wanted |= indices
            missing = indices - self._kept.keys()
            if missing:
                if min(missing) < self._next:
                    self._close()
                self._decoded(max(missing))
                self._close()

    def _decoded(self, index: int) -> Image:
        if index < self._next:
            self._close()
        if self._source is None:
            self._source = VideoSource(self._path, on_damage=OnDamage.FAIL)
            weakref.finalize(self, self._source.close)
            self._frames = iter(self._source)
        for frame in self._frames:
            number, self._next = self._next, self._next + 1
            if number in self._wanted and number not in self._kept:
                self._store(number, self._sized(frame.image))
            if number == index:
                return self._sized(frame.image)
        count = self._next
        self._close()
        raise DataError(
            f"reading a frame of a video: frame {index} was asked for, but the last of its {count} frames is "
            f"{count - 1}: '{self._path}'"
        )

    def _store(self, number: int, image: Image) -> None:
        if self._file < 0:
            self._file, name = tempfile.mkstemp(prefix="tdnet-frames-")
            weakref.finalize(self, os.close, self._file)
            Path(name).unlink()
            self._shape = image.shape
        place = len(self._kept)
        try:
            if os.pwrite(self._file, image.tobytes(), place * image.size) != image.size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise DataError(
                f"keeping a video's frames in {tempfile.gettempdir()!r}: {reason(error)}; set TMPDIR to a folder with "
                f"more room: '{self._path}'"
            ) from error
        self._kept[number] = place

    def _close(self) -> None:
        if self._source is not None:
            self._source.close()
        self._source, self._frames, self._next = None, iter(()), 0
