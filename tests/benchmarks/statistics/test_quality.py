from __future__ import annotations

from collections.abc import Callable

import pytest

from tdnet_bench.records.frames import ClassPixels, FrameRecord
from tdnet_bench.statistics.quality import accuracy_stats, quality_stats, score_stats


def test_a_score_names_the_worst_frame() -> None:
    score = score_stats([(1.0, 0), (0.25, 1), (None, 2), (0.25, 3)])
    assert score is not None
    assert (score.frames, score.mean, score.worst, score.worst_frame) == (3, 0.5, 0.25, 1)
    assert score_stats([(None, 0)]) is None


def test_miou_is_counted_over_all_frames_together(record: Callable[..., FrameRecord]) -> None:
    first = ClassPixels(hits=(3, 0, 0), truth=(4, 1, 0), labelled=(3, 2, 0))
    second = ClassPixels(hits=(1, 4, 0), truth=(1, 5, 0), labelled=(2, 4, 0))
    records = [
        record(0, "a", 1, class_pixels=first),
        record(1, "a", 1),
        record(2, "a", 1, class_pixels=second),
    ]
    accuracy = accuracy_stats(records)
    assert accuracy is not None
    assert accuracy.frames == 2
    # class 0: 4 hits, 5 + 5 − 4 = 6 in the union; class 1: 4 hits, 6 + 6 − 4 = 8; class 2: nowhere
    assert accuracy.iou_by_class == (4 / 6, 4 / 8, None)
    assert accuracy.miou == pytest.approx((4 / 6 + 4 / 8) / 2)


def test_a_class_that_is_only_labelled_counts_as_missed(record: Callable[..., FrameRecord]) -> None:
    pixels = ClassPixels(hits=(4, 0), truth=(4, 0), labelled=(4, 1))
    accuracy = accuracy_stats([record(0, "a", 1, class_pixels=pixels)])
    assert accuracy is not None
    assert accuracy.iou_by_class == (1.0, 0.0)


def test_what_was_not_measured_is_none(record: Callable[..., FrameRecord]) -> None:
    quality = quality_stats([record(0, "a", 1), record(1, "a", 1)])
    assert (quality.agreement, quality.agreement_by_path) == (None, {})
    assert (quality.temporal_consistency, quality.accuracy) == (None, None)
    empty = ClassPixels(hits=(0,), truth=(0,), labelled=(0,))
    assert accuracy_stats([record(0, "a", 1, class_pixels=empty)]) is None


def test_agreement_is_told_by_path_and_consistency_over_all(record: Callable[..., FrameRecord]) -> None:
    records = [record(i, "a", 1, 1 - i / 10, temporal_consistency=i / 10) for i in range(4)]
    quality = quality_stats(records)
    assert {path: score.worst_frame for path, score in quality.agreement_by_path.items()} == {1: 2, 2: 3}
    assert quality.agreement_by_path[1].mean == pytest.approx(0.9)
    assert quality.temporal_consistency is not None
    assert quality.temporal_consistency.mean == pytest.approx(0.15)
