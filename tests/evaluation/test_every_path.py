from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.evaluation.doubles import FakeData, FakeStream, opening

from tdnet_eval.evaluation import JudgedFrame, evaluate, evaluate_together
from tdnet_eval.every_path import EveryPath, check_every_path, unjudged_paths, warm_everywhere
from tdnet_runtime.errors import OptionError


def _passes(
    lengths: tuple[int, ...], paths: int, *, labelled: tuple[int, ...] | None = None
) -> tuple[EveryPath, list[JudgedFrame]]:
    """Of frames that all have a label image, or, quickly, of those at these places alone; and all frames that ran."""
    truth = np.full((32, 48), 1, dtype=np.uint8)
    data: Any = FakeData(lengths, lambda _, place: truth if labelled is None or place in labelled else None)
    stream = FakeStream(
        lambda n, place, path, cold: 1 if path < 3 or place % 2 else 0, paths=paths, cold=paths - 1
    )
    quick, ran = labelled is not None, []
    summed = EveryPath(warm_everywhere(data, paths=paths, quick=quick), 3)

    def add(frame: JudgedFrame) -> None:
        ran.append(frame)
        summed.add(frame)

    for begin in range(paths):
        evaluate_together(
            {"a": opening(stream)}, data, begin=begin, paths=paths if quick else None, on_frame=add
        )
    return summed, ran


def test_each_frame_is_judged_by_each_path_once() -> None:
    summed, _ = _passes((14, 3, 9), 4)
    # 6 to 13 of the first sequence, 6 to 8 of the third, each four times; the second is too short
    found = summed.of("a")
    assert {path: tally.frames for path, tally in found.items()} == {1: 11, 2: 11, 3: 11, 4: 11}
    assert [found[path].pixel_accuracy for path in (1, 2, 3, 4)] == [1.0, 1.0, 5 / 11, 5 / 11]


def test_quick_passes_count_no_frame_that_is_cold_or_absent_in_one_of_them() -> None:
    """Short ranges begin cold in mid-sequence: of each, the labelled frame is what all passes run warm."""
    summed, ran = _passes((30, 5), 4, labelled=(12, 20, 21))
    counted = {(frame.sequence, frame.place) for frame in ran} & summed.warm
    assert counted == {(0, 12), (0, 20), (0, 21)}
    assert any(frame.cold["a"] and frame.place == 18 for frame in ran)  # what the place alone would let pass
    found = summed.of("a")
    assert {path: (tally.frames, tally.labelled_frames) for path, tally in found.items()} == dict.fromkeys(
        (1, 2, 3, 4), (3, 3)
    )


def test_what_cannot_be_judged_by_every_path_is_told_before_the_run() -> None:
    data: Any = FakeData((7, 9), lambda n, place: np.zeros((4, 4), np.uint8) if place < 6 else None)
    check_every_path(data, paths=3)
    with pytest.raises(OptionError, match=r"no labelled frame of fake, split 'val', has 6 frames before it"):
        check_every_path(data, paths=4)


def test_without_a_sequence_that_is_long_enough_there_is_nothing() -> None:
    assert _passes((6,), 4)[0].of("a") == {}


def test_paths_that_no_labelled_frame_fell_on_are_told() -> None:
    data: Any = FakeData((16,), lambda n, place: np.zeros((32, 48), np.uint8) if place % 4 == 1 else None)
    found = evaluate(opening(FakeStream(lambda *_: 0, paths=4, cold=3)), data)
    remark = unjudged_paths("a", found, paths=4)
    assert remark is not None
    assert remark.startswith("NOT ALL PATHS WERE JUDGED: of a, path 1, 3, 4 ran no frame with a label image")
    every: Any = FakeData((16,), lambda *_: np.zeros((32, 48), np.uint8))
    assert (
        unjudged_paths("a", evaluate(opening(FakeStream(lambda *_: 0, paths=4, cold=3)), every), paths=4)
        is None
    )
    cold: Any = FakeData((1, 1), lambda *_: np.zeros((32, 48), np.uint8))  # single images
    assert (
        unjudged_paths("a", evaluate(opening(FakeStream(lambda *_: 0, paths=4, cold=3)), cold), paths=4)
        is None
    )


def test_a_network_of_one_path_is_judged_as_it_is() -> None:
    summed, _ = _passes((3,), 1)
    assert {path: tally.frames for path, tally in summed.of("a").items()} == {1: 3}
