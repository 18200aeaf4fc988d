"""Label images and colour masks as they lie on disk; there is one reader of either."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.exif import orientation_and_unmarked
from tdnet_runtime.media.frames import reason
from tdnet_runtime.media.native_stderr import held_stderr
from tdnet_runtime.media.orientation import Orientation
from tdnet_runtime.media.png import grey_from_palette_png

__all__ = ["LABEL_SUFFIXES", "read_color_mask", "read_label_image"]

Labels = npt.NDArray[np.uint8]

LABEL_SUFFIXES = (".png", ".bmp", ".tif", ".tiff")
"""Of files that keep labels as they are; JPEG does not."""

_STORED = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
_COLORS = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION


def read_label_image(path: Path) -> Labels:
    """A label image as stored, uint8 [H, W], upright; the caller's own array.

    Grey of 8 bits, or of 16 where all values are below 256, or with a palette, whose indices count. A mark of
    orientation is followed, as for frames.

    Raises:
        MediaError: unreadable, or of another form.
    """
    orientation, data = _bytes(path)
    grey, step = grey_from_palette_png(data)
    image = _decoded(grey, _STORED)
    if image is not None and image.ndim == 2 and image.dtype == np.uint16 and image.max() <= 255:
        image = image.astype(np.uint8)
    if image is None or image.ndim != 2 or image.dtype != np.uint8:
        came = "no readable image" if image is None else f"{image.dtype} {list(image.shape)}"
        raise MediaError(
            f"reading a label image: it is {came}, expected 8-bit grey, a class index in each pixel: '{path}'"
        )
    return orientation.apply(np.asarray(image // step, dtype=np.uint8))


def read_color_mask(path: Path) -> Labels:
    """A colour mask, uint8 RGB [H, W, 3], upright, without transparency; the caller's own array.

    Raises:
        MediaError: unreadable.
    """
    orientation, data = _bytes(path)
    image = _decoded(data, _COLORS)
    if image is None:
        raise MediaError(f"reading a colour mask: it is no readable image: '{path}'")
    return orientation.apply(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8))


def _bytes(path: Path) -> tuple[Orientation, bytes]:
    try:
        return orientation_and_unmarked(path.read_bytes())
    except OSError as error:
        raise MediaError(f"reading a label image: {reason(error)}: '{path}'") from error


def _decoded(data: bytes, flags: int) -> npt.NDArray[np.integer[Any]] | None:
    with held_stderr():
        image = cv2.imdecode(np.frombuffer(data or b"0", dtype=np.uint8), flags)
    return None if image is None else np.asarray(image)
