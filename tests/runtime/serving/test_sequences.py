"""Streams by sequence: opened, kept apart, and closed when they end, are given up or fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tdnet_runtime import BackendError, FrameError, OptionError, Segmenter, StreamError
from tdnet_runtime.serving.frame_count import WRAP, counted
from tdnet_runtime.serving.sequences import Sequences


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def segmenter(made_up_bundle: Path) -> Iterator[Segmenter]:
    with Segmenter.open(made_up_bundle, backend="fake") as segmenter:
        yield segmenter


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sequences(segmenter: Segmenter, clock: Clock) -> Iterator[Sequences]:
    with Sequences(segmenter, most=2, idle_s=10, clock=clock) as sequences:
        yield sequences


def frame(value: int = 0, size_hw: tuple[int, int] = (4, 8)) -> np.ndarray:
    return np.full((*size_hw, 3), value, np.uint8)


def test_interleaved_sequences_are_streams_of_their_own(segmenter: Segmenter, sequences: Sequences) -> None:
    with segmenter.stream() as first, segmenter.stream() as second:
        for index in range(8):
            for name, stream, value in (("a", first, 10 * index), (7, second, 200 - 10 * index)):
                found = sequences.push(name, frame(value), start=index == 0)
                assert found is not None
                expected = stream.push(frame(value))
                np.testing.assert_array_equal(found.labels, expected.labels)
                assert (found.frame_index, found.path, found.cold) == (
                    index,
                    expected.path,
                    expected.cold,
                )
    assert len(sequences) == 2


def test_no_sequence_begins_in_the_middle(sequences: Sequences) -> None:
    with pytest.raises(StreamError, match=r"'a' has no memory here.*marked as a sequence's start"):
        sequences.push("a", frame())
    assert len(sequences) == 0


def test_a_second_start_forgets_the_first(sequences: Sequences) -> None:
    for index in range(3):
        sequences.push("a", frame(index), start=index == 0)
    found = sequences.push("a", frame(size_hw=(4, 8)), start=True)
    assert found is not None
    assert (found.frame_index, found.cold, len(sequences)) == (0, True, 1)


def test_an_end_closes(sequences: Sequences) -> None:
    sequences.push("a", frame(), start=True)
    assert sequences.push("a", frame(), end=True) is not None
    assert len(sequences) == 0
    sequences.push("a", frame(), start=True)
    assert sequences.push("a", None, end=True) is None
    assert sequences.push("a", None, end=True) is None  # which nobody knows any more
    one = sequences.push("b", frame(), start=True, end=True)
    assert one is not None
    assert (one.frame_index, len(sequences)) == (0, 0)


def test_an_end_closes_though_its_frame_is_refused(sequences: Sequences) -> None:
    sequences.push("a", frame(), start=True)
    with pytest.raises(FrameError, match="4x9"):
        sequences.push("a", frame(size_hw=(4, 9)), end=True)
    assert len(sequences) == 0


def test_a_refused_frame_leaves_the_sequence_as_it_was(segmenter: Segmenter, sequences: Sequences) -> None:
    sequences.push("a", frame(3), start=True)
    for bad in (frame(size_hw=(5, 8)), frame().astype(np.float32), frame()[..., 0], None):
        with pytest.raises(FrameError):
            sequences.push("a", bad)
    found = sequences.push("a", frame(90))
    with segmenter.stream() as stream:
        stream.push(frame(3))
        expected = stream.push(frame(90))
    assert found is not None
    assert found.frame_index == 1
    np.testing.assert_array_equal(found.labels, expected.labels)


def test_a_failure_closes_its_sequence_alone(segmenter: Segmenter, sequences: Sequences) -> None:
    backend = segmenter.backend
    for name in "ab":
        sequences.push(name, frame(), start=True)
    backend.fail_at_call = backend.calls + 1  # type: ignore[attr-defined]
    with pytest.raises(BackendError, match="told to fail"):
        sequences.push("a", frame())
    with pytest.raises(StreamError, match="'a' has no memory here"):
        sequences.push("a", frame())
    found = sequences.push("b", frame())
    assert found is not None
    assert found.frame_index == 1


def test_a_further_one_takes_the_place_of_the_one_idle_longest(sequences: Sequences) -> None:
    sequences.push("a", frame(), start=True)
    sequences.push("b", frame(), start=True)
    sequences.push("a", frame())
    sequences.push("c", frame(), start=True)
    assert len(sequences) == 2
    sequences.push("a", frame())
    with pytest.raises(StreamError, match="'b' has no memory here"):
        sequences.push("b", frame())


def test_idle_ones_are_closed_later_than_the_server_gives_them_up(sequences: Sequences, clock: Clock) -> None:
    sequences.push("a", frame(), start=True)
    clock.now = 19
    sequences.push("b", frame(), start=True)
    assert len(sequences) == 2
    clock.now = 21
    sequences.push("b", frame())
    assert len(sequences) == 1
    clock.now = 1000
    assert sequences.push("b", frame()) is not None  # waited in the server's queue, and is its own


@pytest.mark.parametrize(("most", "idle_s"), [(0, 1), (1, 0), (1, -1), (1, float("nan"))])
def test_limits_that_cannot_be_meant(segmenter: Segmenter, most: int, idle_s: float) -> None:
    with pytest.raises(OptionError, match="sequences at once"):
        Sequences(segmenter, most=most, idle_s=idle_s)


@pytest.mark.parametrize("paths", [1, 2, 4])
def test_the_count_never_runs_out_and_keeps_path_and_warmth(paths: int) -> None:
    index = count = WRAP - 2 * paths
    for _ in range(5 * paths):
        assert count == counted(index, paths=paths)
        assert count % paths == index % paths
        assert count >= paths
        index += 1
        count = paths if count + 1 == WRAP + paths else count + 1
    assert index > WRAP + paths
    assert counted(1 << 40, paths=paths) < 1 << 31
