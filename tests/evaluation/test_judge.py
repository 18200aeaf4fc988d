from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pytest

from tdnet_eval.judge import Judge, Judgement, label_agreement
from tdnet_runtime.errors import BackendError
from tdnet_runtime.media.scene import render

Array = npt.NDArray[np.uint8]
SIZE = (48, 64)


def _image(t: int) -> Array:
    return render(t, height=SIZE[0], width=SIZE[1])


def _labels(value: int) -> Array:
    return np.full(SIZE, value, dtype=np.uint8)


def _judged(judge: Judge, t: int, labels: Mapping[str, Array], **options: object) -> dict[str, Judgement]:
    return judge(_image(t), labels, **{"begins": t == 0, **options})  # type: ignore[arg-type]


def test_label_agreement_counts_pixels() -> None:
    labels = np.array([[1, 2], [3, 4]], dtype=np.uint8)
    assert label_agreement(labels, labels.copy()) == 1.0
    assert label_agreement(labels, np.array([[1, 2], [3, 0]], dtype=np.uint8)) == 0.75
    with pytest.raises(ValueError, match=r"labels are \(2, 2\), the reference's are \(1, 2\)"):
        label_agreement(labels, labels[:1])


def test_agreement_is_with_the_reference_only() -> None:
    judge = Judge(("a", "b", "ref"), classes=5, reference="ref")
    judged = _judged(judge, 0, {"a": _labels(1), "b": _labels(2), "ref": _labels(2)})
    assert {side: j.agreement for side, j in judged.items()} == {"a": 0.0, "b": 1.0, "ref": None}
    without = Judge(("a", "b"), classes=5)
    judged = _judged(without, 0, {"a": _labels(1), "b": _labels(2)})
    assert {j.agreement for j in judged.values()} == {None}


def test_only_the_named_sides_are_judged() -> None:
    judge = Judge(("a",), classes=5)
    for t in range(2):
        assert _judged(judge, t, {"a": _labels(1), "pytorch": _labels(2)}).keys() == {"a"}


def test_each_sides_labels_are_compared_with_its_own_before() -> None:
    judge = Judge(("steady", "flicker"), classes=5)
    found = []
    for t in range(3):
        labels = {"steady": _labels(3), "flicker": _labels(t % 2)}
        judged = judge(_image(0), labels, begins=t == 0)
        found.append([judged[side].temporal_consistency for side in ("steady", "flicker")])
    assert found == [[None, None], [1.0, 0.0], [1.0, 0.0]]


def test_consistency_is_not_told_across_sequences_nor_where_it_is_not_asked_for() -> None:
    judge = Judge(("a",), classes=5)
    found = [_judged(judge, t, {"a": _labels(1)})["a"].temporal_consistency for t in (0, 1, 0, 1)]
    assert found == [None, 1.0, None, 1.0]
    without = Judge(("a",), classes=5, consistency=False)
    assert {_judged(without, t, {"a": _labels(1)})["a"].temporal_consistency for t in (0, 1)} == {None}


def test_a_label_image_is_judged_by_at_its_own_size() -> None:
    judge = Judge(("a",), classes=5, outlines=True)
    assert _judged(judge, 0, {"a": _labels(4)})["a"] == Judgement()
    truth = np.full((24, 32), 4, dtype=np.uint8)
    truth[:12] = 255  # no class
    judged = _judged(judge, 1, {"a": _labels(4)}, truth=truth)["a"]
    assert judged.confusion is not None
    assert judged.confusion.hits == (0, 0, 0, 0, 12 * 32)
    assert judged.outlines is not None
    assert judged.outlines.f_score == (None,) * 5
    plain = Judge(("a",), classes=5)
    assert _judged(plain, 0, {"a": _labels(4)}, truth=truth)["a"].outlines is None


def test_the_picture_is_of_the_frame_where_the_subject_agrees_least() -> None:
    judge = Judge(("a", "ref"), classes=5, reference="ref")
    assert judge.picture is None
    for t, equal in enumerate((48, 12, 30)):
        labels = _labels(2)
        labels[equal:] = 1
        _judged(judge, t, {"a": labels, "ref": _labels(2)})
    assert judge.picture is not None
    assert judge.picture.frame == 1
    np.testing.assert_array_equal(judge.picture.image, _image(1))
    assert (judge.picture.labels["a"] == 2).sum() == 12 * 64
    assert judge.picture.labels.keys() == {"a", "ref"}


def test_without_a_reference_the_picture_is_of_the_last_frame() -> None:
    judge = Judge(("a",), classes=5)
    for t in range(3):
        _judged(judge, t, {"a": _labels(1)})
    assert judge.picture is not None
    assert judge.picture.frame == 2


def test_a_label_that_is_no_class_is_named() -> None:
    """As of an engine that begins to compute nonsense in the middle of a run."""
    judge = Judge(("ours",), classes=3)
    _judged(judge, 0, {"ours": _labels(2)})
    with pytest.raises(BackendError, match="ours gave a label 3, but the network has 3 classes"):
        _judged(judge, 1, {"ours": _labels(3)})
