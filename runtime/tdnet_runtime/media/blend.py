"""Class colours over a frame."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["blend", "color_table"]


def color_table(colors: Sequence[tuple[int, int, int]]) -> npt.NDArray[np.uint8]:
    """The uint8 [256, 3] table of (R, G, B) by class index; indices without a class are black."""
    table = np.zeros((256, 3), dtype=np.uint8)
    table[: len(colors)] = np.reshape(colors, (-1, 3))
    return table


def blend(
    frame: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.uint8],
    colors: npt.NDArray[np.uint8],
    *,
    alpha: float = 0.5,
    out: npt.NDArray[np.uint8] | None = None,
) -> npt.NDArray[np.uint8]:
    """The frame with each pixel's class colour over it.

    Args:
        frame: uint8 [H, W, 3], RGB.
        labels: uint8 [H, W], class indices.
        colors: see `color_table`.
        alpha: share of the colour, 0 to 1.
        out: uint8 [H, W, 3] to write to, a new array if None; rows may lie apart. Not `frame`.

    Returns:
        `out`: round((1 - alpha) · frame + alpha · colour).
    """
    if out is None:
        out = np.empty_like(frame)
    cv2.applyColorMap(labels, colors[:, np.newaxis], dst=out)
    cv2.addWeighted(frame, 1.0 - alpha, out, alpha, 0.0, dst=out)
    return out
