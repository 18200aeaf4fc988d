"""One axis of bilinear upsampling with aligned corners, in cells: from each score up to the next one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["AlignedAxis"]


class AlignedAxis:
    """Where the pixels of an axis lie between scores, the first and the last one on them.

    Args:
        scores: of the axis.
        pixels: no fewer.

    Attributes:
        cell: of each pixel.
        longest: pixels of the longest cell, n.
        pixel: of each cell, [n, cells]; shorter cells repeat their last one.
        share: of these, how far towards the next score they are, 0 to 1.
    """

    def __init__(self, scores: int, pixels: int) -> None:
        places = np.arange(pixels) * (scores - 1)
        last = max(pixels - 1, 1)
        self.cell: npt.NDArray[np.intp] = places // last
        starts = np.searchsorted(self.cell, np.arange(scores + 1))
        self.longest = int(np.diff(starts).max())
        self.pixel: npt.NDArray[np.int32] = np.minimum(
            starts[:-1] + np.arange(self.longest)[:, None], starts[1:] - 1
        ).astype(np.int32)
        self.share: npt.NDArray[np.float32] = (places % last / last).astype(np.float32)[self.pixel]
