"""Which labelled frame comes when, and which frames before it."""

import numpy as np
import pytest

pytest.importorskip("torch")

from tdnet_train.clips.order import Order
from tdnet_train.clips.places import drawn_places
from tdnet_train.clips.settings import ClipSettings


def entries(order, number):
    return [tuple(entry) for entry in order.epoch(number).reshape(-1, 2).tolist()]


def test_an_epoch_has_each_frame_once_but_for_a_rest():
    order = Order([10], [1.0], batch=3, seed=0)
    assert order.steps == 3
    found = entries(order, 0)
    assert len(set(found)) == len(found) == 9
    assert {part for part, _ in found} == {0}


def test_epochs_and_seeds_differ_and_repeat():
    first = entries(Order([50], [1.0], batch=5, seed=1), 3)
    assert first == entries(Order([50], [1.0], batch=5, seed=1), 3)
    assert first != entries(Order([50], [1.0], batch=5, seed=1), 4)
    assert first != entries(Order([50], [1.0], batch=5, seed=2), 3)


def test_weights_are_how_often_a_frame_comes():
    order = Order([8, 6, 4], [1.0, 2.5, 0.5], batch=1, seed=0)
    found = entries(order, 0)
    counts = [[found.count((part, index)) for index in range(count)] for part, count in enumerate((8, 6, 4))]
    assert counts[0] == [1] * 8
    assert sorted(counts[1]) == [2, 2, 2, 3, 3, 3]
    assert sorted(counts[2]) == [0, 0, 1, 1]
    assert found != sorted(found)  # mixed, not one after the other


def test_what_is_smaller_than_a_batch_is_repeated():
    order = Order([3], [1.0], batch=8, seed=0)
    assert order.steps == 1
    found = entries(order, 0)
    assert len(found) == 8
    assert len(set(found)) == 3


def places(seed=0, *, newest, frames, **settings):
    drawn = drawn_places(np.random.default_rng(seed), ClipSettings(**settings), newest=newest, frames=frames)
    return [tuple(place) for place in drawn]


def test_still_is_the_same_frame_in_all_places():
    assert places(newest=7, frames=4, stage="still") == [(7, 0)] * 4


def test_gaps_are_drawn_for_each_pair():
    seen = set()
    for seed in range(60):
        clip = [frame for frame, _ in places(seed, newest=20, frames=3, gap_min=2, gap_max=4)]
        assert clip[-1] == 20
        seen.add(tuple(np.diff(clip).tolist()))
    assert seen == {(a, b) for a in (2, 3, 4) for b in (2, 3, 4)}


def test_the_oldest_frame_there_is_stands_for_those_before_it():
    assert places(newest=3, frames=4, gap_min=2, gap_max=2) == [(0, 0), (0, 0), (1, 0), (3, 0)]
    assert places(newest=0, frames=2) == [(0, 0), (0, 0)]


def test_simulated_frames_count_their_steps():
    assert places(newest=3, frames=4, gap_min=2, gap_max=2, simulate=True) == [(0, 3), (0, 1), (1, 0), (3, 0)]
    assert places(newest=0, frames=3, gap_min=1, gap_max=1, simulate=True) == [(0, 2), (0, 1), (0, 0)]


def test_how_far_clips_reach():
    assert ClipSettings(gap_max=2).reach(4) == 6
    assert ClipSettings(gap_max=2, stage="still").reach(4) == 0
    assert all(
        min(frame for frame, _ in places(seed, newest=50, frames=4, gap_max=2)) >= 50 - 6
        for seed in range(40)
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gap_min": 3, "gap_max": 2}, "gap_min is 3 and gap_max 2; expected a smaller one first"),
        ({"scale": (2.0, 1.0)}, r"scale is \[2.0, 1.0\]; expected the smallest first"),
    ],
)
def test_limits_the_wrong_way_round(settings, message):
    with pytest.raises(ValueError, match=message):
        ClipSettings(**settings)


@pytest.mark.parametrize("stage", ["still", "video"])
def test_clips_stay_in_their_sequence_and_in_order(stage):
    for seed in range(200):
        rng = np.random.default_rng(seed)
        newest, frames, gap = int(rng.integers(0, 12)), int(rng.integers(1, 6)), int(rng.integers(1, 5))
        simulate = bool(rng.integers(2))
        clip = places(seed, newest=newest, frames=frames, gap_max=gap, stage=stage, simulate=simulate)
        assert len(clip) == frames
        assert clip[-1] == (newest, 0)
        # a simulated frame comes before the sequence's first, the farther, the earlier
        times = [frame - steps for frame, steps in clip]
        assert times == sorted(times)
        assert all(
            frame >= max(newest - ClipSettings(gap_max=gap, stage=stage).reach(frames), 0)
            for frame, _ in clip
        )
        assert simulate or not any(steps for _, steps in clip)
