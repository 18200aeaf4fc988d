from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from tdnet_eval.boundary import Outlines, outlines_of

Array = npt.NDArray[np.uint8]
SIDE = 40  # 56.6 px of diagonal: 0.05 of it are 2.8 px


def _halves(column: int) -> Array:
    """Class 0 left of a column, class 1 from it on."""
    labels = np.zeros((SIDE, SIDE), dtype=np.uint8)
    labels[:, column:] = 1
    return labels


@pytest.mark.parametrize(("shift", "met"), [(0, True), (2, True), (-2, True), (3, False)])
def test_an_outline_is_met_within_the_tolerance(shift: int, met: bool) -> None:
    outlines = outlines_of(_halves(20 + shift), _halves(20), classes=3, tolerance=0.05)
    # One column of each class on either side.
    assert outlines.counts.tolist() == [
        [SIDE * met, SIDE * met, 0],
        [SIDE, SIDE, 0],
        [SIDE * met, SIDE * met, 0],
        [SIDE, SIDE, 0],
    ]
    assert outlines.f_score == (float(met), float(met), None)


def test_precision_and_recall_of_a_hand_computed_case() -> None:
    truth, labels = _halves(20), _halves(20)
    labels[:, 35:] = 0  # an outline more, which is nobody's
    outlines = outlines_of(labels, truth, classes=2, tolerance=0.01)
    assert outlines.counts[:, 0].tolist() == [SIDE, 2 * SIDE, SIDE, SIDE]
    assert outlines.f_score == (pytest.approx(2 * 0.5 * 1 / 1.5), pytest.approx(2 * 0.5 * 1 / 1.5))


def test_another_class_does_not_meet_an_outline() -> None:
    truth = _halves(20)
    labels = np.where(truth == 1, np.uint8(2), np.uint8(0))
    outlines = outlines_of(labels, truth, classes=3, tolerance=0.05)
    assert outlines.f_score == (1.0, 0.0, 0.0)


@pytest.mark.parametrize("turned", [False, True])
def test_what_has_no_class_makes_no_outline_and_is_not_judged(turned: bool) -> None:
    truth, labels = _halves(20), _halves(20)
    truth[:, 10:30] = 255  # the whole outline
    labels[5:9, 12:18] = 1
    if turned:
        truth, labels = np.ascontiguousarray(truth.T), np.ascontiguousarray(labels.T)
    outlines = outlines_of(labels, truth, classes=2)
    assert not outlines.counts.any()
    assert outlines.f_score == (None, None)


def test_counts_are_added_up_over_frames() -> None:
    hit = outlines_of(_halves(20), _halves(20), classes=2)
    miss = outlines_of(_halves(10), _halves(20), classes=2)
    assert (hit + miss).f_score == (0.5, 0.5)
    assert (Outlines.nothing(2) + hit).f_score == (1.0, 1.0)


def test_diagonal_distance_is_euclidean() -> None:
    truth = np.zeros((30, 40), dtype=np.uint8)  # 50 px of diagonal
    labels = truth.copy()
    truth[10, 10] = 1
    labels[13, 14] = 1  # 5 px away
    assert outlines_of(labels, truth, classes=2, tolerance=0.1).f_score[1] == 1.0
    assert outlines_of(labels, truth, classes=2, tolerance=0.0999).f_score[1] == 0.0
