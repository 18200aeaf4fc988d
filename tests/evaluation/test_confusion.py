from __future__ import annotations

import numpy as np
import pytest

from tdnet_eval.confusion import Confusion, at_size_of, confusion_of, intersections_over_unions


def test_counts_of_a_hand_computed_case() -> None:
    truth = np.array([[0, 0, 1], [1, 255, 3]], dtype=np.uint8)  # 255 and 3 are no class of three
    labels = np.array([[0, 1, 1], [1, 0, 0]], dtype=np.uint8)
    counts = confusion_of(labels, truth, classes=3)
    assert counts.counts.tolist() == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
    assert (counts.truth, counts.labelled, counts.hits) == ((2, 2, 0), (1, 3, 0), (1, 2, 0))
    assert counts.iou == (1 / 2, 2 / 3, None)
    assert counts.miou == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert counts.pixel_accuracy == 3 / 4


def test_counts_are_added_up_over_frames_before_the_scores_are_taken() -> None:
    one = Confusion(np.array([[3, 1], [0, 1]], dtype=np.int64))
    two = Confusion(np.array([[1, 0], [2, 4]], dtype=np.int64))
    both = one + two
    assert both.frames == 2
    assert both.iou == (4 / 7, 5 / 8)
    assert (Confusion.nothing(2) + one).iou == one.iou
    nothing = Confusion.nothing(2)
    assert (nothing.frames, nothing.iou, nothing.miou, nothing.pixel_accuracy) == (
        0,
        (None, None),
        None,
        None,
    )


def test_a_class_that_is_only_labelled_counts_as_missed() -> None:
    assert intersections_over_unions((4, 0, 0), (4, 0, 0), (4, 1, 0)) == (1.0, 0.0, None)


def test_255_classes_do_not_overflow() -> None:
    truth = np.full((3, 5), 254, dtype=np.uint8)
    assert confusion_of(truth, truth, classes=255).hits[254] == 15


def test_labels_are_brought_to_the_label_images_size_as_the_runtime_does() -> None:
    from tdnet_runtime.preprocess import Resizer

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, (7, 9), dtype=np.uint8)
    truth = rng.integers(0, 5, (20, 31), dtype=np.uint8)
    resizer = Resizer((7, 9))
    resizer.require((20, 31))
    expected = np.empty((20, 31), dtype=np.uint8)
    resizer.take(labels, expected)
    np.testing.assert_array_equal(at_size_of(labels, truth), expected)
    assert at_size_of(expected, truth) is expected


@pytest.mark.parametrize(("classes", "present"), [(2, 2), (6, 6), (19, 7)])
def test_torchmetrics_agrees(classes: int, present: int) -> None:
    """On random labels and label images with pixels and classes left out."""
    torch = pytest.importorskip("torch")
    classification = pytest.importorskip("torchmetrics.classification")
    rng = np.random.default_rng(classes)
    jaccard = classification.MulticlassJaccardIndex(classes, ignore_index=255)
    by_class = classification.MulticlassJaccardIndex(classes, ignore_index=255, average=None)
    accuracy = classification.MulticlassAccuracy(classes, ignore_index=255, average="micro")
    total = Confusion.nothing(classes)
    for _ in range(3):
        truth = rng.integers(0, present, (37, 53), dtype=np.uint8)
        labels = np.where(rng.random(truth.shape) < 0.6, truth, rng.integers(0, present, truth.shape)).astype(
            np.uint8
        )
        truth[rng.random(truth.shape) < 0.1] = 255
        total += confusion_of(labels, truth, classes=classes)
        for metric in (jaccard, by_class, accuracy):
            metric.update(torch.from_numpy(labels.astype(np.int64)), torch.from_numpy(truth.astype(np.int64)))
    assert total.miou == pytest.approx(float(jaccard.compute()), abs=1e-6)  # theirs is float32
    assert total.pixel_accuracy == pytest.approx(float(accuracy.compute()), abs=1e-6)
    theirs = by_class.compute().tolist()
    assert [iou or 0.0 for iou in total.iou] == pytest.approx(theirs, abs=1e-6)
