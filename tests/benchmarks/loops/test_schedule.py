from __future__ import annotations

import doctest
from collections import Counter

import pytest

from tdnet_bench.inputs import footage
from tdnet_bench.loops import schedule
from tdnet_bench.loops.schedule import Schedule, turn_order

TD4 = Schedule(paths=4, cold_frames=3)
TD2 = Schedule(paths=2, cold_frames=1)
PSP = Schedule(paths=1, cold_frames=0)


@pytest.mark.parametrize("sides", [2, 3])
@pytest.mark.parametrize("schedule", [TD4, TD2, PSP], ids=["m=4", "m=2", "m=1"])
def test_each_side_goes_first_equally_often_on_every_path(schedule: Schedule, sides: int) -> None:
    rounds = 12
    first = Counter(
        (schedule.path(frame), turn_order(frame, paths=schedule.paths, sides=sides)[0])
        for frame in range(rounds * schedule.paths)
    )
    assert first == {
        (path, side): rounds // sides for path in range(1, schedule.paths + 1) for side in range(sides)
    }


def test_turn_order_is_a_permutation_for_any_number_of_sides() -> None:
    for sides in (1, 2, 3):
        for frame in range(12):
            assert sorted(turn_order(frame, paths=4, sides=sides)) == list(range(sides))


@pytest.mark.parametrize("paths", [1, 2, 4])
def test_each_side_comes_after_each_other_one(paths: int) -> None:
    sides = 3
    orders = [turn_order(frame, paths=paths, sides=sides) for frame in range(4 * paths * sides)]
    after = Counter((order[place], order[place + 1]) for order in orders for place in range(sides - 1))
    assert len(after) == sides * (sides - 1)
    assert len(set(after.values())) == 1


def test_the_lead_in_is_the_first_frame_and_the_cold_ones() -> None:
    assert [schedule.lead_in_frames for schedule in (TD4, TD2, PSP)] == [3, 1, 1]
    assert [frame for frame in range(9) if TD4.cold(frame)] == [0, 1, 2]
    assert [TD4.path(frame) for frame in range(6)] == [1, 2, 3, 4, 1, 2]


def test_the_examples_hold() -> None:
    for module in (schedule, footage):
        found = doctest.testmod(module)
        assert found.attempted > 0
        assert found.failed == 0
