from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.benchmarks.fakes import Array

from tdnet_bench.inputs.footage import FootageFrame
from tdnet_bench.inputs.label_images import LabelImages
from tdnet_bench.quality.judge import Judge, label_agreement
from tdnet_runtime.errors import BackendError
from tdnet_runtime.media.scene import render

SIZE = (48, 64)


def _frame(t: int) -> FootageFrame:
    return FootageFrame(render(t, height=SIZE[0], width=SIZE[1]), f"{t:03}", t)


def _labels(value: int) -> Array:
    return np.full(SIZE, value, dtype=np.uint8)


def test_label_agreement_counts_pixels() -> None:
    labels = np.array([[1, 2], [3, 4]], dtype=np.uint8)
    assert label_agreement(labels, labels.copy()) == 1.0
    assert label_agreement(labels, np.array([[1, 2], [3, 0]], dtype=np.uint8)) == 0.75
    with pytest.raises(ValueError, match=r"labels are \(2, 2\), the reference's are \(1, 2\)"):
        label_agreement(labels, labels[:1])


def test_agreement_is_with_the_reference_only() -> None:
    judge = Judge(("a", "b", "ref"), classes=5, reference="ref")
    judged = judge(_frame(0), {"a": _labels(1), "b": _labels(2), "ref": _labels(2)})
    assert {side: j.agreement for side, j in judged.items()} == {"a": 0.0, "b": 1.0, "ref": None}
    without = Judge(("a", "b"), classes=5)
    judged = without(_frame(0), {"a": _labels(1), "b": _labels(2)})
    assert {j.agreement for j in judged.values()} == {None}


def test_made_up_weights_are_not_judged() -> None:
    judge = Judge(("a",), classes=5)
    for t in range(2):
        assert judge(_frame(t), {"a": _labels(1), "pytorch": _labels(2)}).keys() == {"a"}


def test_each_sides_labels_are_compared_with_its_own_before() -> None:
    judge = Judge(("steady", "flicker"), classes=5)
    found = []
    for t in range(3):
        judged = judge(_frame(0)._replace(place=t), {"steady": _labels(3), "flicker": _labels(t % 2)})
        found.append([judged[side].temporal_consistency for side in ("steady", "flicker")])
    assert found == [[None, None], [1.0, 0.0], [1.0, 0.0]]


def test_a_labelled_frame_is_counted(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "001.png"), _labels(4))
    judge = Judge(("a",), classes=5, label_images=LabelImages(tmp_path))
    assert judge(_frame(0), {"a": _labels(4)})["a"].class_pixels is None
    pixels = judge(_frame(1), {"a": _labels(4)})["a"].class_pixels
    assert pixels is not None
    assert pixels.hits == (0, 0, 0, 0, SIZE[0] * SIZE[1])


def test_the_picture_is_of_the_frame_where_the_subject_agrees_least() -> None:
    judge = Judge(("a", "ref"), classes=5, reference="ref")
    assert judge.picture is None
    for t, equal in enumerate((48, 12, 30)):
        labels = _labels(2)
        labels[equal:] = 1
        judge(_frame(t), {"a": labels, "ref": _labels(2)})
    assert judge.picture is not None
    assert judge.picture.frame == 1
    np.testing.assert_array_equal(judge.picture.image, _frame(1).image)
    assert (judge.picture.labels["a"] == 2).sum() == 12 * 64
    assert judge.picture.labels.keys() == {"a", "ref"}


def test_without_a_reference_the_picture_is_of_the_last_frame() -> None:
    judge = Judge(("a",), classes=5)
    for t in range(3):
        judge(_frame(t), {"a": _labels(1)})
    assert judge.picture is not None
    assert judge.picture.frame == 2


def test_consistency_is_not_told_across_sequences() -> None:
    judge = Judge(("a",), classes=5)
    found = [judge(_frame(t), {"a": _labels(1)})["a"].temporal_consistency for t in (0, 1, 0, 1)]
    assert found == [None, 1.0, None, 1.0]


def test_a_label_that_is_no_class_is_named() -> None:
    """As of an engine that begins to compute nonsense in the middle of a run."""
    judge = Judge(("ours",), classes=3)
    frame = FootageFrame(np.zeros((32, 32, 3), np.uint8), "0", 0)
    judge(frame, {"ours": np.full((32, 32), 2, np.uint8)})
    with pytest.raises(BackendError, match="ours gave a label 3, but the network has 3 classes"):
        judge(frame._replace(place=1), {"ours": np.full((32, 32), 3, np.uint8)})
