"""Labels against label images: pixels counted by class, and the scores that follow from the counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["Confusion", "at_size_of", "confusion_of", "intersections_over_unions", "mean_of"]

Labels = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Confusion:
    """Pixels of labelled frames, counted over all of them together; those without a class are left out.

    Attributes:
        counts: int64 [K, K]: `counts[t, l]` pixels are of class t in the label image and were labelled l.
        frames: label images that were counted.
    """

    counts: Counts
    frames: int = 1

    @classmethod
    def nothing(cls, classes: int) -> Confusion:
        """Of no frames; K classes."""
        return cls(np.zeros((classes, classes), dtype=np.int64), 0)

    def __add__(self, other: Confusion) -> Confusion:
        return Confusion(self.counts + other.counts, self.frames + other.frames)

    @property
    def hits(self) -> tuple[int, ...]:
        """Pixels of each class that were labelled as it."""
        return tuple(np.diag(self.counts).tolist())

    @property
    def truth(self) -> tuple[int, ...]:
        """Pixels of each class in the label images."""
        return tuple(self.counts.sum(1).tolist())

    @property
    def labelled(self) -> tuple[int, ...]:
        """Pixels that were labelled as each class."""
        return tuple(self.counts.sum(0).tolist())

    @property
    def iou(self) -> tuple[float | None, ...]:
        """By class, 0 to 1; see `intersections_over_unions`."""
        return intersections_over_unions(self.hits, self.truth, self.labelled)

    @property
    def miou(self) -> float | None:
        """Mean of `iou` over the classes that occur, 0 to 1; None where none does."""
        return mean_of(self.iou)

    @property
    def pixel_accuracy(self) -> float | None:
        """Share of the pixels that were labelled right, 0 to 1; None without pixels."""
        total = int(self.counts.sum())
        return int(np.trace(self.counts)) / total if total else None


def intersections_over_unions(
    hits: Iterable[int], truth: Iterable[int], labelled: Iterable[int]
) -> tuple[float | None, ...]:
    """By class from its counts of `Confusion`; None for a class that occurs neither in label images nor in labels."""
    unions = ((hit, true + made - hit) for hit, true, made in zip(hits, truth, labelled, strict=True))
    return tuple(float(hit / union) if union else None for hit, union in unions)


def mean_of(values: Sequence[float | None]) -> float | None:
    """Mean of those that are there; None where none is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def at_size_of(labels: Labels, truth: Labels) -> Labels:
    """`labels`, uint8 [H, W], at the size of `truth`, uint8 [H', W']: by the nearest pixel, as the runtime does."""
    if labels.shape == truth.shape:
        return labels
    height, width = truth.shape
    resized = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(resized, dtype=np.uint8)


def confusion_of(labels: Labels, truth: Labels, *, classes: int) -> Confusion:
    """Count `labels` against `truth`, both uint8 of one shape; labels are all below `classes`.

    Pixels of `truth` whose value is no class (255, for one) are left out.
    """
    known = truth < classes
    pairs = truth[known].astype(np.int64) * classes + labels[known]
    counts = np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
    return Confusion(np.asarray(counts, dtype=np.int64))
