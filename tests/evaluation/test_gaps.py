from __future__ import annotations

import doctest
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.evaluation.doubles import Array, FakeData, FakeStream, opening

from tdnet_eval import gaps
from tdnet_eval.gaps import CUT, GAP, RESET, Place, cut_places, gap_targets, measure_gaps, memory_of
from tdnet_runtime.errors import OptionError


class RememberingStream:
    """Labels that follow from the frame, the path, and the m−1 frames before, as a TDNet's do."""

    def __init__(self, paths: int) -> None:
        self._paths = paths
        self.reset()

    def reset(self) -> None:
        self._index = 0
        self._memory: deque[tuple[int, int]] = deque(maxlen=self._paths - 1)

    def push(self, frame: Array, /) -> Any:
        number, place, _ = frame[0, 0].tolist()
        path, cold = self._index % self._paths + 1, self._index < self._paths - 1
        memory = () if cold else tuple(self._memory)
        self._memory.append((number, place))
        self._index += 1
        seed = [number, place, path, *(value for at in memory for value in at)]
        labels = np.random.default_rng(seed).integers(0, 3, frame.shape[:2], dtype=np.uint8)
        return SimpleNamespace(labels=labels, path=path, cold=cold)


def _open(paths: int) -> Any:
    @contextmanager
    def opened() -> Iterator[RememberingStream]:
        yield RememberingStream(paths)

    return opened


def _run(paths: int, frames: list[Array]) -> list[Array]:
    stream = RememberingStream(paths)
    return [stream.push(frame).labels for frame in frames]


def _data(lengths: tuple[int, ...] = (14, 12), labelled: int = 100, **options: Any) -> Any:
    def truth(number: int, place: int) -> Array | None:
        return np.full((32, 48), 1, dtype=np.uint8) if place < labelled else None

    return FakeData(lengths, truth, **options)


@pytest.mark.parametrize("paths", [2, 3, 4])
@pytest.mark.parametrize("gap", [1, 2, 5])
def test_frames_after_a_gap_are_what_a_whole_stream_gives_there(paths: int, gap: int) -> None:
    """Against streams of whole sequences from which the frames are really missing."""
    data = _data((17, 14))
    found = {
        (s.what, s.dropped, s.after): s for s in measure_gaps(_open(paths), data, paths=paths, gaps=[gap])
    }
    targets = gap_targets(data, [gap], paths=paths)
    assert {target.sequence for target in targets} == {0, 1}
    expected: dict[int, list[float]] = {after: [] for after in range(1, paths)}
    hits = dict.fromkeys(expected, 0)
    for number, first in targets:
        images = [data.image(frame) for frame in data.sequences[number].frames]
        whole = _run(paths, images)
        skipped = -gap % paths  # frames left out at the beginning, so that paths fall on the same frames
        kept = images[skipped : first - gap] + images[first:]
        dropped = _run(paths, kept)[first - gap - skipped :]
        for after in expected:
            labels = dropped[after - 1]
            expected[after].append(float((labels == whole[first + after - 1]).mean()))
            hits[after] += int((labels == 1).sum())
    for after, agreements in expected.items():
        score = found[GAP, gap, after]
        assert score.agreements == pytest.approx(agreements)
        assert score.confusion.hits[1] == hits[after]
        assert score.confusion.frames == len(targets)
        assert set(found[GAP, 0, after].agreements) == {1.0}


def test_a_longer_gap_has_the_same_frames_as_a_shorter_one() -> None:
    scores = measure_gaps(_open(2), _data(), paths=2, gaps=[1, 4])
    assert [(s.what, s.dropped, s.after) for s in scores] == [
        (GAP, 0, 1),
        (GAP, 1, 1),
        (GAP, 4, 1),
        (RESET, None, 1),
    ]
    assert len({len(s.agreements) for s in scores}) == 1
    assert len({s.confusion.truth for s in scores}) == 1


def test_after_a_reset_frames_are_cold() -> None:
    data = _data((9,))
    (score,) = [s for s in measure_gaps(_open(2), data, paths=2, gaps=[1]) if s.what == RESET]
    expected = []
    for _, first in gap_targets(data, [1], paths=2):
        images = [data.image(frame) for frame in data.sequences[0].frames]
        expected.append(float((_run(2, [images[first]])[0] == _run(2, images)[first]).mean()))
    assert score.agreements == pytest.approx(expected)


def test_before_a_cut_come_frames_of_another_sequence() -> None:
    pushed = FakeStream(lambda *_: 1, paths=2, cold=1)
    data = _data((8, 6))
    scores = measure_gaps(opening(pushed), data, paths=2, gaps=[], cut=data)
    assert [s.what for s in scores] == [GAP, RESET, CUT]
    runs = "".join("|" if at is None else f"{at[0]}{at[1]} " for at in pushed.pushed).split("|")[1:]
    cuts = [run.split() for run in runs[2::3]]
    assert cuts
    for *before, after in cuts:
        assert before
        assert {at[0] for at in before} == {"1" if after[0] == "0" else "0"}
        assert {int(b[1]) - int(a[1]) for a, b in pairwise(before)} <= {1}
    assert len({before[-1] for *before, _ in cuts}) > 3  # not from one place alone


def test_a_cut_from_another_split_may_come_from_any_sequence() -> None:
    other = _data((5, 5))
    assert cut_places(other, length=4, apart_from=None) == [
        Place(0, 3),
        Place(0, 4),
        Place(1, 3),
        Place(1, 4),
    ]
    assert cut_places(other, length=4, apart_from=0) == [Place(1, 3), Place(1, 4)]
    scores = measure_gaps(_open(4), _data((12,)), paths=4, gaps=[], cut=_data((9,)))
    assert {(s.what, s.after) for s in scores if s.what == CUT} == {(CUT, 1), (CUT, 2), (CUT, 3)}


def test_frames_without_label_images_are_compared_with_the_run_without_gap_alone() -> None:
    (_, lost, _) = measure_gaps(_open(2), _data((10,), labelled=5), paths=2, gaps=[2])
    assert (len(lost.agreements), lost.confusion.frames) == (7, 2)  # frames 3 to 9; of them 3 and 4
    (_, lost, _) = measure_gaps(_open(2), _data((10,), labelled=0), paths=2, gaps=[2])
    assert (len(lost.agreements), lost.confusion.miou) == (7, None)


def test_the_number_of_frames_that_are_done_is_told() -> None:
    ticks: list[int] = []
    measure_gaps(_open(2), _data((6,)), paths=2, gaps=[1], tick=ticks.append)
    assert ticks == [1, 2, 3]


def test_what_cannot_be_measured_is_an_error() -> None:
    with pytest.raises(OptionError, match=r"this network has none \(m = 1\)"):
        measure_gaps(_open(2), _data(), paths=1, gaps=[1])
    with pytest.raises(
        OptionError, match=r"longest sequence of fake, split 'val', has 7 frames; a gap of 9 needs 18"
    ):
        measure_gaps(_open(4), _data((7, 6)), paths=4, gaps=[1, 9])
    only = _data((7,))
    with pytest.raises(OptionError, match="has no other sequence of 2 frames to cut from; name another"):
        measure_gaps(_open(2), only, paths=2, gaps=[], cut=only)
    with pytest.raises(OptionError, match=r"frames before the cut are 30x48 .* those after it 32x48"):
        measure_gaps(_open(2), _data(), paths=2, gaps=[], cut=_data(size_hw=(30, 48)))


@pytest.mark.parametrize("paths", [2, 3, 4])
def test_the_stated_length_is_what_it_takes(paths: int) -> None:
    for gap in (1, 2, 3, 8):
        with pytest.raises(OptionError) as caught:
            measure_gaps(_open(paths), _data((2,)), paths=paths, gaps=[gap])
        needed = int(str(caught.value).partition("needs ")[2].split()[0])
        assert gap_targets(_data((needed,)), [gap], paths=paths)
        assert not gap_targets(_data((needed - 1,)), [gap], paths=paths)


def test_memory_brings_each_frame_to_its_path() -> None:
    for paths in (2, 3, 4):
        for index in range(20):
            length = memory_of(Place(0, index), paths=paths)
            assert paths - 1 <= length < 2 * paths - 1
            assert length % paths == index % paths


def test_doctests() -> None:
    assert doctest.testmod(gaps).attempted > 0
    assert doctest.testmod(gaps).failed == 0
