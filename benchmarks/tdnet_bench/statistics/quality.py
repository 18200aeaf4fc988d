"""Statistics of the labels' quality: pure functions of the records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tdnet_bench.records import Record
from tdnet_bench.records.frames import FrameRecord
from tdnet_eval.confusion import intersections_over_unions, mean_of

__all__ = ["Accuracy", "Quality", "Score", "accuracy_stats", "quality_stats", "score_stats"]


class Score(Record, frozen=True, kw_only=True):
    """A number from 0 to 1 for each frame that has one, first and cold ones included: the mean, and the lowest."""

    frames: int
    mean: float
    worst: float
    worst_frame: int


class Accuracy(Record, frozen=True, kw_only=True):
    """Against label images: intersection over union of each class, counted over all frames together.

    A class has None where it occurs neither in the label images nor in the labels, and is not in the mean.
    """

    frames: int
    miou: float
    iou_by_class: tuple[float | None, ...]


class Quality(Record, frozen=True, kw_only=True):
    """What one side's labels are worth; None where it was not measured."""

    agreement: Score | None
    agreement_by_path: dict[int, Score]
    temporal_consistency: Score | None
    accuracy: Accuracy | None


def quality_stats(records: Sequence[FrameRecord]) -> Quality:
    """Quality of one side from its records, in the order of the frames."""
    by_path: dict[int, list[tuple[float | None, int]]] = {}
    for record in records:
        by_path.setdefault(record.path, []).append((record.agreement, record.frame))
    agreement = {path: score_stats(shares) for path, shares in sorted(by_path.items())}
    return Quality(
        agreement=score_stats((record.agreement, record.frame) for record in records),
        agreement_by_path={path: score for path, score in agreement.items() if score is not None},
        temporal_consistency=score_stats((record.temporal_consistency, record.frame) for record in records),
        accuracy=accuracy_stats(records),
    )


def score_stats(values: Iterable[tuple[float | None, int]]) -> Score | None:
    """Of (value, frame) pairs, those that have a value; None where none has."""
    known = [(value, frame) for value, frame in values if value is not None]
    if not known:
        return None
    worst, worst_frame = min(known)
    mean = float(np.mean([value for value, _ in known]))
    return Score(frames=len(known), mean=mean, worst=worst, worst_frame=worst_frame)


def accuracy_stats(records: Iterable[FrameRecord]) -> Accuracy | None:
    """Of the records that have counts; None where none has, or no class occurs in them."""
    counts = [record.class_pixels for record in records if record.class_pixels is not None]
    if not counts:
        return None
    hits = np.sum([count.hits for count in counts], axis=0)
    truth = np.sum([count.truth for count in counts], axis=0)
    ious = intersections_over_unions(hits, truth, np.sum([count.labelled for count in counts], axis=0))
    miou = mean_of(ious)
    return None if miou is None else Accuracy(frames=len(counts), miou=miou, iou_by_class=ious)
