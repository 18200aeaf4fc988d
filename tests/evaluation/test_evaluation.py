from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.evaluation.doubles import Array, FakeData, FakeStream, opening

from tdnet_eval.evaluation import JudgedFrame, evaluate, evaluate_together, runs_of
from tdnet_runtime.errors import BackendError, MediaError, OptionError


def _all(value: int, size_hw: tuple[int, int] = (32, 48)) -> Array:
    return np.full(size_hw, value, dtype=np.uint8)


def _data(lengths: tuple[int, ...] = (5, 4), **options: Any) -> Any:
    return FakeData(lengths, lambda number, place: _all(1), **options)


def test_scores_are_kept_by_path_and_cold_frames_apart() -> None:
    """Path 3 is always wrong, and so is every cold frame."""
    stream = FakeStream(lambda n, p, path, cold: 0 if path == 3 or cold else 1, paths=4, cold=3)
    found = evaluate(opening(stream), _data((9, 5)))
    assert {path: (tally.frames, tally.miou) for path, tally in found.by_path.items()} == {
        1: (3, 1.0),  # frames 4 and 8, and 4 of the second sequence
        2: (1, 1.0),
        3: (1, 0.0),
        4: (3, 1.0),  # 3 and 7, and 3
    }
    assert found.cold is not None
    assert (found.cold.frames, found.cold.pixel_accuracy) == (6, 0.0)
    assert found.warm.frames == 8
    assert found.overall.frames == 14
    assert found.pixel_accuracy == 0.5
    assert found.iou == (0.0, 0.5, None)
    assert found.miou == 0.25


def test_streams_are_reset_at_each_sequence_and_frames_come_in_order() -> None:
    stream = FakeStream(lambda *_: 1, paths=2, cold=1)
    evaluate(opening(stream), _data((3, 2)))
    assert stream.pushed == [None, (0, 0), (0, 1), (0, 2), None, (1, 0), (1, 1)]


def test_unlabelled_frames_are_run_and_not_judged() -> None:
    data: Any = FakeData((4,), lambda number, place: _all(1) if place == 3 else None)
    stream = FakeStream(lambda *_: 1, paths=2, cold=1)
    found = evaluate(opening(stream), data)
    assert (found.overall.frames, found.overall.labelled_frames, found.miou) == (4, 1, 1.0)


def test_sides_get_the_same_frames_and_are_compared_with_the_reference() -> None:
    streams = {
        "a": FakeStream(lambda n, p, path, cold: p % 2, paths=2, cold=1),
        "b": FakeStream(lambda *_: 1, paths=4, cold=3),
    }
    seen: list[JudgedFrame] = []
    found = evaluate_together(
        {name: opening(stream) for name, stream in streams.items()},
        _data((4,)),
        reference="b",
        consistency=True,
        outlines=True,
        on_frame=seen.append,
    )
    assert streams["a"].pushed == streams["b"].pushed
    assert found["a"].overall.agreement == 0.5
    assert found["b"].overall.agreement is None
    assert found["b"].overall.temporal_consistency == 1.0
    assert found["a"].overall.temporal_consistency == 0.0
    assert found["b"].overall.boundary_f is None  # one class, no outline
    assert [(frame.sequence, frame.place, frame.name) for frame in seen] == [
        (0, p, f"0_{p}") for p in range(4)
    ]
    assert [frame.judgements["a"].agreement for frame in seen] == [0.0, 1.0, 0.0, 1.0]


def test_frames_that_no_memory_needs_are_passed_over_without_changing_a_score() -> None:
    """Labels that depend on the frame, on the path and on the m−1 frames before."""
    labelled = {(0, 1), (0, 19), (0, 20), (1, 9), (2, 11)}
    data: Any = FakeData((30, 12, 12), lambda *at: _all(at[1] % 3) if at in labelled else None)

    def run(paths: int | None) -> tuple[Any, FakeStream]:
        stream = FakeStream(lambda n, p, path, cold: (p + path + cold) % 3, paths=4, cold=3)
        return evaluate(opening(stream), data, paths=paths), stream

    (whole, every), (short, few) = run(None), run(4)
    tables = [
        {path: tally.confusion.counts.tolist() for path, tally in e.by_path.items() if tally.labelled_frames}
        for e in (whole, short)
    ]
    assert tables[0] == tables[1]
    assert whole.cold.confusion.counts.tolist() == short.cold.confusion.counts.tolist()
    assert [at for at in few.pushed if at is None or at[0] == 0] == [
        None, (0, 0), (0, 1), None, *((0, place) for place in range(16, 21)), None, None,
    ]  # fmt: skip
    assert len(few.pushed) < len(every.pushed) / 2


@pytest.mark.parametrize("paths", [1, 2, 4])
def test_ranges_hold_the_memory_of_each_labelled_frame(paths: int) -> None:
    rng = np.random.default_rng(paths)
    for _ in range(50):
        begin = int(rng.integers(0, 5))
        labelled = set(rng.choice(40, 6, replace=False).tolist())
        sequence: Any = FakeData(
            (40,), lambda n, p, labelled=labelled: _all(1) if p in labelled else None
        ).sequences[0]
        runs = list(runs_of(sequence, paths=paths, begin=begin))
        covered = [place for run in runs for place in run]
        assert covered == sorted(set(covered))
        for place in labelled:
            (run,) = [run for run in runs if place in run] or [None]
            if place < begin:
                assert run is None
                continue
            assert run is not None
            assert (run.start - begin) % paths == 0
            assert place - run.start >= min(paths - 1, place - begin)


def test_a_later_begin_runs_another_path_on_each_frame() -> None:
    stream = FakeStream(lambda *_: 1, paths=2, cold=1)
    found = evaluate_together({"a": opening(stream)}, _data((4,)), begin=1)["a"]
    assert stream.pushed == [None, (0, 1), (0, 2), (0, 3)]
    assert {path: tally.frames for path, tally in found.by_path.items()} == {2: 1, 1: 1}


@pytest.mark.parametrize(("paths", "begin", "pairs"), [(None, 0, 8 + 4), (None, 2, 6 + 2), (2, 0, 1 + 1 + 1)])
def test_consistency_compares_no_frame_with_one_that_the_stream_has_forgotten(
    paths: int | None, begin: int, pairs: int
) -> None:
    data: Any = FakeData((9, 5), lambda n, place: _all(1) if (n, place) in {(0, 1), (0, 7), (1, 3)} else None)
    stream = FakeStream(lambda *_: 1, paths=2, cold=1)
    found = evaluate_together({"a": opening(stream)}, data, consistency=True, paths=paths, begin=begin)
    assert found["a"].overall.consistencies.frames == pairs


def test_no_label_image_at_all_is_an_error() -> None:
    data: Any = FakeData((3,), lambda *_: None)
    stream = FakeStream(lambda *_: 1, paths=2, cold=1)
    with pytest.raises(OptionError, match="fake, split 'val': none of its frames has a label image"):
        evaluate(opening(stream), data)
    assert stream.pushed == []


def test_a_label_image_of_another_shape_is_named() -> None:
    data: Any = FakeData((2,), lambda *_: _all(1, (48, 32)))
    with pytest.raises(
        MediaError, match=r"label image is 48x32 \(height x width\), its frame '0_0' is 32x48.*'0_0.png'"
    ):
        evaluate(opening(FakeStream(lambda *_: 1, paths=2, cold=1)), data)


@pytest.mark.parametrize("size_hw", [(16, 24), (64, 96), (21, 32)])
def test_a_label_image_may_be_smaller_or_larger(size_hw: tuple[int, int]) -> None:
    data: Any = FakeData((2,), lambda *_: _all(1, size_hw))
    found = evaluate(opening(FakeStream(lambda *_: 1, paths=2, cold=1)), data)
    assert found.overall.confusion.hits[1] == 2 * size_hw[0] * size_hw[1]


def test_a_frame_of_another_size_is_named() -> None:
    data = _data((2,))
    plain = data.image
    data.image = lambda frame: plain(frame)[: 32 - 2 * frame.at[1]]
    with pytest.raises(
        MediaError, match=r"frame '0_1' is 30x48 .* in the sequence 'drive0' are 32x48.*make two sequences"
    ):
        evaluate(opening(FakeStream(lambda *_: 1, paths=2, cold=1)), data)


def test_nonsense_of_an_engine_is_an_error() -> None:
    with pytest.raises(BackendError, match="gave a label 3, but the network has 3 classes"):
        evaluate(opening(FakeStream(lambda *_: 3, paths=2, cold=1)), _data())
