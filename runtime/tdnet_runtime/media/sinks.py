"""Where labels go: the protocol, and images of class indices or colours."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from enum import Enum
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from tdnet_runtime.closeable import Closeable
from tdnet_runtime.media.blend import color_table
from tdnet_runtime.media.frames import SourceFrame
from tdnet_runtime.media.output_folder import OutputFolder, check_folder
from tdnet_runtime.media.png import encoded_png

__all__ = ["LabelForm", "LabelWriter", "Sink", "check_folder"]


class Sink(AbstractContextManager["Sink"], Protocol):
    """Takes each frame and its labels; a context manager, which finishes what was begun."""

    def write(self, frame: SourceFrame, labels: npt.NDArray[np.uint8]) -> None:
        """Write one frame; neither array is kept or changed.

        Args:
            frame: of the same size as all before, but for one that `begins` a sequence.
            labels: uint8 [H, W] of the frame's size, upright as it is, class indices.

        Raises:
            MediaError: the disk is full, or another fault of the output. Frames written before stay
                readable.
        """


class LabelForm(str, Enum):
    """What a label image holds, always a PNG of 8 bits."""

    GREY = "grey"
    """One channel, the grey value being the class index."""
    PALETTE = "palette"
    """The same values, and the classes' colours as their palette; PIL reads the indices, OpenCV the colours."""
    COLOR = "color"
    """RGB, the classes' colours."""


class LabelWriter(Closeable):
    """Writes labels as `<directory>/<frame name>.png`.

    A file has its name only when it is whole; one of the same name is replaced. The directory is made, and
    cleared of an earlier run's files where that is asked for, with the first file.

    Args:
        directory: where to; may not exist yet.
        form: of the images.
        colors: (R, G, B) of each class, for the forms that need them.
        as_stored: turn labels back to lie on the pixels of the stored frames, instead of upright.
        sequences: names of the source's sequences where it has several; files go to folders of these names.
        overwrite: remove what an earlier run wrote there; it is refused otherwise.
        keep_all: replace nothing: a name that comes again gets a number behind it (`a.png`, `a_000000001.png`).

    Raises:
        MediaError: `directory` cannot be a folder to write to, or holds PNGs already.
    """

    def __init__(
        self,
        directory: Path,
        *,
        form: LabelForm = LabelForm.GREY,
        colors: Sequence[tuple[int, int, int]] = (),
        as_stored: bool = False,
        sequences: Sequence[str] = (),
        overwrite: bool = False,
        keep_all: bool = False,
    ) -> None:
        purpose = "colour images" if form is LabelForm.COLOR else "label images"
        self._folder = OutputFolder(
            directory, sequences=sequences, purpose=purpose, overwrite=overwrite, keep_all=keep_all
        )
        self._form = form
        self._colors = color_table(colors)
        self._as_stored = as_stored

    @property
    def written(self) -> int:
        """Files so far."""
        return self._folder.written

    def close(self) -> None:
        """Let other runs write there. Safe to call twice."""
        self._folder.close()

    def write(self, frame: SourceFrame, labels: npt.NDArray[np.uint8]) -> None:
        """See `Sink`."""
        if self._as_stored:
            labels = frame.orientation.inverse.apply(labels)
        if self._form is LabelForm.COLOR:
            bgr = cv2.applyColorMap(labels, np.ascontiguousarray(self._colors[:, np.newaxis, ::-1]))
            data = encoded_png(np.asarray(bgr, dtype=np.uint8))
        else:
            data = encoded_png(labels, palette=self._colors if self._form is LabelForm.PALETTE else None)
        self._folder.put(f"{frame.name}.png", data)
