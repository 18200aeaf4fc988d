"""Temporal consistency of labels: the mTC of Varghese et al., with OpenCV's DIS optical flow.

S. Varghese et al., "Unsupervised Temporal Consistency Metric for Video Segmentation in Highly-Automated Driving", CVPR
workshops 2020: the labels of frame t−1 are moved along the flow between the two frames and compared with those of frame
t; a frame's consistency is the mIoU of the two, over the classes that occur in either, a video's the mean over its
frames. Chosen here: the flow is DIS (T. Kroeger et al., ECCV 2016; preset "fast") from frame t to t−1 on the grey
frames at the labels' size, the same for all sides of a run. Each pixel of frame t looks up the nearest pixel that it
came from; those from outside the picture are left out, those that become visible from behind something else are not.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from tdnet_eval.confusion import confusion_of
from tdnet_runtime.errors import MediaError

__all__ = ["BackwardFlow", "temporal_consistency"]

Frame = npt.NDArray[np.uint8]
Flow = npt.NDArray[np.float32]


class BackwardFlow:
    """Optical flow from each frame of a video to the one before."""

    def __init__(self) -> None:
        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._before: Frame | None = None

    def next(self, frame: Frame) -> Flow | None:
        """The flow of the next frame, uint8 RGB [H, W, 3], always of one size; None for the first frame.

        float32 [H, W, 2]: pixel (x, y) was at (x, y) + flow[y, x] on the frame before.

        Raises:
            MediaError: the frame is too small for OpenCV's flow.
        """
        grey = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        before, self._before = self._before, grey
        if before is None:
            return None
        try:
            start = np.zeros((*grey.shape, 2), dtype=np.float32)
            return np.asarray(self._dis.calc(grey, before, start), dtype=np.float32)
        except cv2.error as error:
            height, width = grey.shape
            raise MediaError(
                f"OpenCV's optical flow cannot take frames of {height}x{width}: {error.err}"
            ) from error


def temporal_consistency(labels: Frame, before: Frame, flow: Flow, *, classes: int) -> float | None:
    """Mean IoU of `labels` with the labels of the frame before, moved along `flow` (see `BackwardFlow.next`).

    0 to 1; None where every pixel comes from outside the picture. Every label is below `classes`.
    """
    height, width = labels.shape
    rows = np.rint(flow[:, :, 1]).astype(np.int32) + np.arange(height, dtype=np.int32)[:, None]
    columns = np.rint(flow[:, :, 0]).astype(np.int32) + np.arange(width, dtype=np.int32)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return confusion_of(labels[inside], before[rows[inside], columns[inside]], classes=classes).miou
