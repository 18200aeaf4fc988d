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


def _naive(labels: Array, truth: Array, *, classes: int, reach_px: float) -> list[list[int]]:
    """Pixel by pixel, as the module's docstring says it."""

    def outline(of: Array, index: int) -> list[tuple[int, int]]:
        found = []
        for row, column in np.argwhere((of == index) & (truth < classes)).tolist():
            beside = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
            inside = [(r, c) for r, c in beside if 0 <= r < of.shape[0] and 0 <= c < of.shape[1]]
            if any(truth[at] < classes and of[at] != index for at in inside):
                found.append((row, column))
        return found

    def met(mine: list[tuple[int, int]], other: list[tuple[int, int]]) -> int:
        return sum(any((r - s) ** 2 + (c - d) ** 2 <= reach_px**2 for s, d in other) for r, c in mine)

    pairs = [(outline(labels, index), outline(truth, index)) for index in range(classes)]
    return [
        [met(mine, true) for mine, true in pairs],
        [len(mine) for mine, _ in pairs],
        [met(true, mine) for mine, true in pairs],
        [len(true) for _, true in pairs],
    ]


@pytest.mark.parametrize("seed", range(4))
def test_counts_are_those_of_a_plain_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width, classes = 18, 24, 4  # 30 px of diagonal
    truth = np.kron(rng.integers(0, classes, (6, 8)), np.ones((3, 3))).astype(np.uint8)
    labels = np.roll(truth, int(rng.integers(-2, 3)), axis=1)
    labels[rng.random(labels.shape) < 0.05] = 0
    truth[rng.random(truth.shape) < 0.1] = 255
    assert truth.shape == (height, width)
    for tolerance in (0.01, 0.05, 0.09):
        found = outlines_of(labels, truth, classes=classes, tolerance=tolerance)
        assert found.counts.tolist() == _naive(labels, truth, classes=classes, reach_px=tolerance * 30)
