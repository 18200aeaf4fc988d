"""Where labels go: the protocol, and images of class indices."""

from __future__ import annotations

import contextlib
import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from tdnet_runtime.atomic_file import PARTIAL_SUFFIX
from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.frames import SourceFrame, reason

__all__ = ["LabelWriter", "Sink", "check_folder"]


class Sink(AbstractContextManager["Sink"], Protocol):
    """Takes each frame and its labels; a context manager, which finishes what was begun."""

    def write(self, frame: SourceFrame, labels: npt.NDArray[np.uint8]) -> None:
        """Write one frame; neither array is kept or changed.

        Args:
            frame: of the same size as all before.
            labels: uint8 [H, W] of the frame's size, class indices.

        Raises:
            MediaError: the disk is full, or another fault of the output. Frames written before stay
                readable.
        """


class LabelWriter(Closeable):
    """Writes labels as `<directory>/<frame name>.png`, 8-bit grey, the grey value being the class index.

    A file has its name only when it is whole; an existing one is replaced. The directory is made with
    the first file.

    Args:
        directory: where to; may not exist yet.

    Raises:
        MediaError: `directory` cannot be a folder to write to.
    """

    def __init__(self, directory: Path) -> None:
        check_folder(directory, purpose="label images")
        self.directory = directory
        self.written = 0

    def close(self) -> None:
        """Nothing is held between two images."""

    def write(self, frame: SourceFrame, labels: npt.NDArray[np.uint8]) -> None:
        """See `Sink`."""
        ok, png = cv2.imencode(".png", labels)
        if not ok:
            raise MediaError(f"writing label images: OpenCV could not encode {frame.name}.png")
        path = self.directory / f"{frame.name}.png"
        partial = self.directory / f"{frame.name}.png{PARTIAL_SUFFIX}"
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            try:
                # Unlike a bundle not synced to the disk, which would cost more time than the network.
                partial.write_bytes(png.tobytes())
                partial.replace(path)
            except BaseException:
                with contextlib.suppress(OSError):
                    partial.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise MediaError(
                f"writing label images stopped after {self.written}, which are whole: {reason(error)}: "
                f"'{path}'"
            ) from error
        self.written += 1


def check_folder(folder: Path, *, purpose: str) -> None:
    """Check, as far as can be known beforehand, that files can be made in `folder`, which may not exist yet.

    Raises:
        MediaError: it is not a folder, or may not be written to.
    """
    existing = folder.absolute()
    while not os.path.lexists(existing) and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise MediaError(f"writing {purpose} to '{folder}': not a folder: '{existing}'")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise MediaError(f"writing {purpose} to '{folder}': no right to write in '{existing}'")
