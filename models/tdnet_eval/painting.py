"""Labels as pictures: in the classes' colours, and where two of them differ."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["MARK", "ClassColors", "color_image", "disagreement_image"]

MARK = (255, 0, 160)
"""RGB of a pixel that is not the reference's; no class of CamVid or Cityscapes has it."""

ClassColors = Sequence[tuple[int, int, int]]
"""(R, G, B) by class."""

_DIM = 0.45  # of the frame's brightness below the marks
_FEW = 0.005  # share of the picture below which marks are drawn larger, to be seen at all
_LARGE = 5  # width of such a mark

Array = npt.NDArray[np.uint8]


def color_image(labels: Array, colors: ClassColors) -> Array:
    """uint8 RGB [H, W, 3] of labels [H, W]."""
    image: Array = np.asarray(colors, dtype=np.uint8)[labels]
    return image


def disagreement_image(image: Array, differs: npt.NDArray[np.bool_]) -> Array:
    """`image` [h, w, 3] in dim grey, with a mark on each pixel that stands for one that `differs` [H, W]."""
    height, width = image.shape[:2]
    marked = np.zeros((height, width), dtype=np.bool_)
    rows, columns = np.nonzero(differs)
    marked[rows * height // differs.shape[0], columns * width // differs.shape[1]] = True
    if marked.mean() < _FEW:
        marked = cv2.dilate(marked.astype(np.uint8), np.ones((_LARGE, _LARGE), np.uint8)) > 0
    grey = image.mean(axis=2, keepdims=True) * _DIM
    painted: Array = np.where(marked[..., None], MARK, grey).astype(np.uint8)
    return painted
