from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from tdnet_eval.flow import BackwardFlow, temporal_consistency
from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.scene import render

Array = npt.NDArray[np.uint8]


def _flow(dx: float, dy: float, height: int = 4, width: int = 6) -> npt.NDArray[np.float32]:
    return np.broadcast_to(np.float32([dx, dy]), (height, width, 2)).copy()


def _texture(height: int, width: int) -> Array:
    """Smooth noise, which a flow can follow."""
    import cv2

    noise = np.random.default_rng(3).integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def test_labels_that_move_along_the_flow_are_consistent() -> None:
    before = np.array([[0, 0, 1, 1, 2, 2]] * 4, dtype=np.uint8)
    labels = np.array([[0, 0, 0, 1, 1, 2]] * 4, dtype=np.uint8)  # one pixel to the right
    assert temporal_consistency(labels, before, _flow(-1, 0), classes=3) == 1.0
    # Standing still instead: class 0 has 2 of 3 columns in common, class 1 1 of 3, class 2 1 of 2.
    still = temporal_consistency(labels, before, _flow(0, 0), classes=3)
    assert still == pytest.approx((2 / 3 + 1 / 3 + 1 / 2) / 3)


def test_rows_are_moved_by_the_second_component() -> None:
    before = np.array([[0] * 6, [1] * 6, [2] * 6, [0] * 6], dtype=np.uint8)
    labels = np.array([[1] * 6, [2] * 6, [0] * 6, [1] * 6], dtype=np.uint8)  # one row up
    assert temporal_consistency(labels, before, _flow(0, 1), classes=3) == 1.0


def test_what_comes_from_outside_the_picture_is_left_out() -> None:
    before = np.zeros((4, 6), dtype=np.uint8)
    labels = np.zeros((4, 6), dtype=np.uint8)
    labels[:, 0] = 1  # new on the left
    assert temporal_consistency(labels, before, _flow(-1, 0), classes=2) == 1.0
    assert temporal_consistency(labels, before, _flow(0, 0), classes=2) == pytest.approx((20 / 24 + 0) / 2)
    assert temporal_consistency(labels, before, _flow(100, 0), classes=2) is None


def test_classes_that_do_not_occur_do_not_count() -> None:
    labels = np.full((4, 6), 7, dtype=np.uint8)
    assert temporal_consistency(labels, labels.copy(), _flow(0, 0), classes=19) == 1.0


@pytest.mark.parametrize(("dx", "dy"), [(3, 0), (0, -2), (-4, 3)])
def test_the_flow_points_to_where_a_pixel_was(dx: int, dy: int) -> None:
    wide = _texture(160, 200)
    before = np.ascontiguousarray(wide[20:120, 20:160])
    after = np.ascontiguousarray(wide[20 + dy : 120 + dy, 20 + dx : 160 + dx])
    flow = BackwardFlow()
    assert flow.next(before) is None
    found = flow.next(after)
    assert found is not None
    assert found.shape == (100, 140, 2)
    middle = np.median(found[20:-20, 20:-20].reshape(-1, 2), axis=0)
    np.testing.assert_allclose(middle, (dx, dy), atol=0.3)


def test_flow_and_labels_fit_together() -> None:
    """Labels of a moving texture that move with it are consistent; those that stay are less so."""
    wide = _texture(160, 200)
    classes = (wide[:, :, 0] // 64).astype(np.uint8)
    flow = BackwardFlow()
    flow.next(np.ascontiguousarray(wide[:100, :140]))
    found = flow.next(np.ascontiguousarray(wide[:100, 4:144]))
    assert found is not None
    moving = temporal_consistency(classes[:100, 4:144], classes[:100, :140], found, classes=4)
    still = temporal_consistency(classes[:100, :140], classes[:100, :140], found, classes=4)
    assert moving is not None
    assert still is not None
    assert moving > 0.9 > still


def test_each_frame_is_compared_with_the_one_before() -> None:
    frames = [render(t, height=48, width=64) for t in (0, 5, 5)]
    flow = BackwardFlow()
    results = [flow.next(frame) for frame in frames]
    assert results[0] is None
    assert results[1] is not None
    assert results[2] is not None
    assert np.abs(results[2]).max() < np.abs(results[1]).max()


def test_a_frame_that_is_too_small_is_a_users_error() -> None:
    flow = BackwardFlow()
    tiny = np.zeros((4, 4, 3), dtype=np.uint8)
    flow.next(tiny)
    with pytest.raises(MediaError, match="optical flow cannot take frames of 4x4"):
        flow.next(tiny)
