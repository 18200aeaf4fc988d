"""Label images of some frames of the footage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from tdnet_bench.inputs.footage import FootageFrame
from tdnet_data.file_index import files_by_name
from tdnet_data.label_images import read_label_image
from tdnet_runtime.errors import DataError, MediaError, OptionError

__all__ = ["LabelImages"]

Labels = npt.NDArray[np.uint8]


class LabelImages:
    """PNGs of a folder and its sub-folders, a class index in each pixel; those of the frames' names are used.

    8-bit grey, or with a palette, of which the indices count. They lie on the upright frames, as people see these
    and `tdnet-run` writes them; one with a mark of orientation is turned by it, as a frame is.

    Raises:
        OptionError: no folder, no PNG in it or below it, or two of one name.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._paths = files_by_name(folder, (".png",), what="label images")
        except DataError as error:
            raise OptionError(f"--labels cannot be read: {error}") from error
        if not self._paths:
            raise OptionError(f"--labels needs a folder of PNGs, but none is in {str(folder)!r}")
        self._owners: dict[Path, str] = {}

    def of(self, frame: FootageFrame) -> Labels | None:
        """The label image of `frame`, uint8 [H, W]; None without one.

        That of a frame of a sequence may lie in a folder called like the sequence's, or beside all others.

        Raises:
            MediaError: it is of another form, was another frame's, or lies on the frame as it is stored.
        """
        name, stored_hw = frame.name, frame.stored_hw
        path = self._paths.get(name) or self._paths.get(name.rpartition("/")[2])
        if path is None:
            return None
        owner = self._owners.setdefault(path, name)
        if owner != name:
            raise MediaError(
                f"the frames {owner!r} and {name!r} would share a label image; sort the label images into folders "
                f"called like the sequences': '{path}'"
            )
        image = read_label_image(path)
        if image.shape == stored_hw and image.shape[0] != image.shape[1]:
            raise MediaError(
                f"reading a label image: it is {image.shape[0]}x{image.shape[1]} (height x width), as its frame is "
                f"stored, which a mark turns upright; turn the label images, too: '{path}'"
            )
        return image

    @property
    def used(self) -> int:
        """Label images that were asked for and found, so far."""
        return len(self._owners)
