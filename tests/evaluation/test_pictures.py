from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tests.evaluation.doubles import Array, FakeData, FakeStream, opening

from tdnet_eval.confusion import Confusion
from tdnet_eval.evaluation import evaluate_together
from tdnet_eval.painting import MARK
from tdnet_eval.pictures import WorstFrames, confusion_picture, frame_picture, open_folder, write_pictures
from tdnet_runtime.errors import MediaError

COLORS = ((0, 0, 0), (0, 0, 200), (0, 200, 0))


def _worst(count: int, wrong_rows: Mapping[int, int]) -> WorstFrames:
    """Of frames of class 1 in which so many rows are wrong by their place; others have no label image."""
    data: Any = FakeData(
        (max(wrong_rows) + 1,),
        lambda n, place: np.full((32, 48), 1, np.uint8) if place in wrong_rows else None,
    )

    def labels(number: int, place: int, path: int, cold: bool) -> Array:
        made = np.full((32, 48), 1, dtype=np.uint8)
        made[: wrong_rows.get(place, 32)] = 2
        return made

    worst = WorstFrames("a", count)
    evaluate_together({"a": opening(FakeStream(labels, paths=2, cold=1))}, data, on_frame=worst.add)
    return worst


@pytest.mark.parametrize("count", [1, 3, 9])
def test_the_worst_frames_come_first_and_the_earlier_of_equals(count: int) -> None:
    worst = _worst(count, {0: 9, 10: 0, 20: 20, 40: 20})
    assert [frame.name for frame in worst.frames] == ["0_20", "0_40", "0_0", "0_10"][:count]


def test_of_neighbours_the_worst_is_kept() -> None:
    worst = _worst(9, {0: 5, 3: 9, 7: 9, 8: 4, 9: 20, 11: 7, 17: 6})
    assert [frame.name for frame in worst.frames] == ["0_9", "0_17"]


def test_a_frame_its_label_image_its_labels_and_where_they_are_wrong() -> None:
    image = np.full((40, 60, 3), 100, dtype=np.uint8)
    labels = np.ones((40, 60), dtype=np.uint8)
    labels[:, 30:] = 2
    truth = np.ones((20, 30), dtype=np.uint8)  # of another size
    truth[:10] = 255
    picture = frame_picture(image, labels, truth, colors=COLORS)
    assert picture.shape == (84, 124, 3)
    assert picture[0, 0].tolist() == [100, 100, 100]
    assert picture[0, 64].tolist() == [0, 0, 0]  # nobody knows
    assert picture[39, 64].tolist() == list(COLORS[1])
    assert picture[44, 0].tolist() == list(COLORS[1])
    assert picture[44, 59].tolist() == list(COLORS[2])
    wrong = (picture[44:, 64:] == MARK).all(axis=2)
    assert not wrong[:20].any()
    assert np.array_equal(wrong[20:], np.repeat([[False] * 30 + [True] * 30], 20, axis=0))


@pytest.mark.parametrize("classes", [2, 40])
def test_a_confusion_matrix_is_drawn(classes: int) -> None:
    pytest.importorskip("matplotlib")
    names = ["$\\nonsense$ & <b>", "für", *(f"class{i}" for i in range(2, classes))]
    counts = np.zeros((classes, classes), dtype=np.int64)
    counts[0, 1], counts[0, 0] = 3, 1  # nothing of the others
    data = confusion_picture(Confusion(counts), side="a fp32", names=names)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert min(image.shape[:2]) > 300
    assert len(np.unique(image[::8, ::8].reshape(-1, 3), axis=0)) > 10


def test_pictures_have_names_that_tell_and_no_run_mixes_with_another(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    confusions = {"zoo onnxruntime:fp32": Confusion(np.eye(3, dtype=np.int64))}

    def write(*, overwrite: bool) -> None:
        with open_folder(tmp_path / "p", overwrite=overwrite) as folder:
            write_pictures(
                folder, confusions, _worst(2, {0: 9, 20: 20, 40: 3}), names=("a", "b", "c"), colors=COLORS
            )

    write(overwrite=False)
    expected = {"confusion-zoo_onnxruntime_fp32.png", "worst-1-0_20.png", "worst-2-0_0.png"}
    assert {path.name for path in (tmp_path / "p").iterdir()} == expected
    with pytest.raises(MediaError, match=r"3 files of an earlier run are in it.*--overwrite removes them"):
        write(overwrite=False)
    write(overwrite=True)
    (tmp_path / "p" / "mine.png").write_bytes(b"png")
    with pytest.raises(MediaError, match=r"'mine.png' for one; name another folder"):
        write(overwrite=True)
