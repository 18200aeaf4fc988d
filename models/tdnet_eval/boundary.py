"""How well the outlines of classes are met: the boundary F-score.

G. Csurka et al., "What is a good evaluation measure for semantic segmentation?", BMVC 2013: an outline's pixel is met where
the other side has one of the same class within 0.75 % of the picture's diagonal; precision is the share of the labels'
outline that is met, recall that of the label image's, F their harmonic mean. Chosen here: counts are added up over all
frames, as for IoU, and F is taken of the sums for each class; the outline of a class are its pixels beside (above, below,
left, right) a pixel of another class. The edge of the picture and of what has no class is no outline, and labels where the
label image has no class are left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["TOLERANCE", "Outlines", "outlines_of"]

Labels = npt.NDArray[np.uint8]

TOLERANCE = 0.0075
"""Share of the diagonal within which an outline is met."""

_MET_LABELLED, _LABELLED, _MET_TRUTH, _TRUTH = range(4)
_UNKNOWN = 255


@dataclass(frozen=True, slots=True, eq=False)
class Outlines:
    """Pixels of outlines, counted over frames.

    Attributes:
        counts: int64 [4, K]: by class the labels' outline that is met, all of it, the label images' that is met, all of it.
    """

    counts: npt.NDArray[np.int64]

    @classmethod
    def nothing(cls, classes: int) -> Outlines:
        """Of no frames; K classes."""
        return cls(np.zeros((4, classes), dtype=np.int64))

    def __add__(self, other: Outlines) -> Outlines:
        return Outlines(self.counts + other.counts)

    @property
    def f_score(self) -> tuple[float | None, ...]:
        """By class, 0 to 1; None for a class without any outline."""
        return tuple(_f_score(*column) for column in self.counts.T.tolist())


def _f_score(met_labelled: int, labelled: int, met_truth: int, truth: int) -> float | None:
    if not labelled and not truth:
        return None
    precision = met_labelled / labelled if labelled else 0.0
    recall = met_truth / truth if truth else 0.0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def outlines_of(labels: Labels, truth: Labels, *, classes: int, tolerance: float = TOLERANCE) -> Outlines:
    """Compare the outlines of `labels` and `truth`, both uint8 [H, W]; labels are all below `classes`.

    Pixels of `truth` whose value is no class are left out; there may be at most 255 classes.
    """
    known = truth < classes
    true = np.where(known, truth, np.uint8(_UNKNOWN))
    made = np.where(known, labels, np.uint8(_UNKNOWN))
    reach_px = tolerance * math.hypot(*truth.shape)
    true_outline, made_outline = _outline(true), _outline(made)
    counts = np.zeros((4, classes), dtype=np.int64)
    for index in np.union1d(true[true_outline], made[made_outline]).tolist():
        of_truth = true_outline & (true == index)
        of_labels = made_outline & (made == index)
        around = _box(of_truth | of_labels)  # all that their distances need
        of_truth, of_labels = of_truth[around], of_labels[around]
        counts[_MET_LABELLED, index] = _met(of_labels, of_truth, reach_px)
        counts[_LABELLED, index] = np.count_nonzero(of_labels)
        counts[_MET_TRUTH, index] = _met(of_truth, of_labels, reach_px)
        counts[_TRUTH, index] = np.count_nonzero(of_truth)
    return Outlines(counts)


def _outline(labels: Labels) -> npt.NDArray[np.bool_]:
    """Pixels of a class beside one of another class."""
    outline = np.zeros(labels.shape, dtype=np.bool_)
    known = labels != _UNKNOWN
    below = (labels[1:] != labels[:-1]) & known[1:] & known[:-1]
    beside = (labels[:, 1:] != labels[:, :-1]) & known[:, 1:] & known[:, :-1]
    outline[1:] |= below
    outline[:-1] |= below
    outline[:, 1:] |= beside
    outline[:, :-1] |= beside
    return outline


def _box(outline: npt.NDArray[np.bool_]) -> tuple[slice, slice]:
    """The smallest rectangle around it; it has a pixel."""
    rows, columns = (np.flatnonzero(outline.any(axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _met(outline: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_], reach_px: float) -> int:
    """Pixels of `outline` that have one of `other` within reach."""
    if not outline.any() or not other.any():
        return 0
    apart = np.logical_not(other).view(np.uint8)
    distance = cv2.distanceTransform(apart, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return int(np.count_nonzero(distance[outline] <= reach_px))
