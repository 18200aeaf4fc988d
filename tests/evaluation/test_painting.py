from __future__ import annotations

import numpy as np

from tdnet_eval.painting import MARK, color_image, disagreement_image

COLORS = ((0, 0, 0), (0, 0, 200), (0, 200, 0))


def test_one_pixel_is_marked_however_small_the_picture_is() -> None:
    differs = np.zeros((100, 200), np.bool_)
    differs[99, 199] = True
    marked = (disagreement_image(np.zeros((50, 100, 3), np.uint8), differs) == MARK).all(axis=2)
    assert np.argwhere(marked).min(axis=0).tolist() == [47, 97]
    assert marked.sum() == 9


def test_many_marks_are_of_their_true_size() -> None:
    differs = np.zeros((100, 100), np.bool_)
    differs[:, 50] = True
    marked = (disagreement_image(np.zeros((100, 100, 3), np.uint8), differs) == MARK).all(axis=2)
    assert np.array_equal(marked, differs)


def test_color_image() -> None:
    labels = np.array([[0, 2]], np.uint8)
    assert color_image(labels, COLORS).tolist() == [[[0, 0, 0], [0, 200, 0]]]
