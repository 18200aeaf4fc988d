from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pytest

from tdnet_bench.runner import Push, Schedule, label_agreement, measure, turn_order, warm_up

Array = npt.NDArray[np.uint8]
TD4 = Schedule(paths=4, cold_frames=3)
TD2 = Schedule(paths=2, cold_frames=1)
PSP = Schedule(paths=1, cold_frames=0)


class FakeClock:
    """Time that passes only when somebody works or sleeps."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


@dataclass
class FakeSide:
    """Labels every pixel with the frame's first one plus `offset`; call n takes `costs_ns[n]`."""

    name: str
    clock: FakeClock
    costs_ns: list[int]
    log: list[tuple[str, int]] = field(default_factory=list)
    offset: int = 0
    opened: int = 0
    closed: int = 0

    @contextmanager
    def stream(self) -> Iterator[Push]:
        self.opened += 1
        calls = 0

        def push(frame: Array) -> Array:
            nonlocal calls
            self.log.append((self.name, int(frame.flat[0])))
            self.clock.now_ns += self.costs_ns[min(calls, len(self.costs_ns) - 1)]
            calls += 1
            return np.full(frame.shape[:2], frame.flat[0] + self.offset, dtype=np.uint8)

        try:
            yield push
        finally:
            self.closed += 1


def _frames(count: int) -> list[Array]:
    return [np.full((4, 6, 3), index, dtype=np.uint8) for index in range(count)]


@pytest.mark.parametrize("schedule", [TD4, TD2, PSP], ids=["m=4", "m=2", "m=1"])
def test_each_side_goes_first_equally_often_on_every_path(schedule: Schedule) -> None:
    rounds = 10
    first = Counter(
        (schedule.path(frame), turn_order(frame, paths=schedule.paths, sides=2)[0])
        for frame in range(rounds * schedule.paths)
    )
    assert first == {(p, side): rounds // 2 for p in range(1, schedule.paths + 1) for side in (0, 1)}


def test_turn_order_is_a_permutation_for_any_number_of_sides() -> None:
    for sides in (1, 2, 3):
        for frame in range(12):
            assert sorted(turn_order(frame, paths=4, sides=sides)) == list(range(sides))


def test_both_sides_get_every_frame_before_the_next_one() -> None:
    clock = FakeClock()
    log: list[tuple[str, int]] = []
    sides = [FakeSide("bundle", clock, [1], log), FakeSide("reference", clock, [1], log)]
    measure(sides, _frames(4), TD2, clock=clock, sleep=clock.sleep)
    assert log == [
        ("bundle", 0), ("reference", 0),
        ("reference", 1), ("bundle", 1),
        ("reference", 2), ("bundle", 2),
        ("bundle", 3), ("reference", 3),
    ]  # fmt: skip


def test_records_say_path_cold_turn_and_the_clock_without_the_pause() -> None:
    clock = FakeClock()
    bundle = FakeSide("bundle", clock, [7, 5, 3])
    reference = FakeSide("reference", clock, [70, 50, 30])
    records = measure([bundle, reference], _frames(3), TD2, pause_ms=20, clock=clock, sleep=clock.sleep)
    found = [(r.frame, r.side, r.path, r.cold, r.turn, r.host_call_ns) for r in records]
    assert found == [
        (0, "bundle", 1, True, 0, 7),
        (0, "reference", 1, True, 1, 70),
        (1, "reference", 2, False, 0, 50),
        (1, "bundle", 2, False, 1, 5),
        (2, "reference", 1, False, 0, 30),
        (2, "bundle", 1, False, 1, 3),
    ]
    assert clock.now_ns == 6 * 20_000_000 + 15 + 150


def test_cold_frames_follow_the_network() -> None:
    clock = FakeClock()
    for schedule, cold in ((TD4, [0, 1, 2]), (TD2, [0]), (PSP, [])):
        records = measure(
            [FakeSide("bundle", clock, [1])], _frames(9), schedule, clock=clock, sleep=clock.sleep
        )
        assert [r.frame for r in records if r.cold] == cold
        assert [r.path for r in records] == [index % schedule.paths + 1 for index in range(9)]


def test_agreement_is_measured_against_the_baseline_only() -> None:
    clock = FakeClock()
    for offset, expected in ((0, 1.0), (1, 0.0)):
        sides = [FakeSide("bundle", clock, [1], offset=offset), FakeSide("reference", clock, [1])]
        records = measure(sides, _frames(3), TD2, baseline="reference", clock=clock, sleep=clock.sleep)
        assert {r.agreement for r in records if r.side == "bundle"} == {expected}
        assert {r.agreement for r in records if r.side == "reference"} == {None}
        silent = measure(sides, _frames(3), TD2, clock=clock, sleep=clock.sleep)
        assert {r.agreement for r in silent} == {None}


def test_label_agreement_counts_pixels() -> None:
    labels = np.array([[1, 2], [3, 4]], dtype=np.uint8)
    assert label_agreement(labels, labels.copy()) == 1.0
    assert label_agreement(labels, np.array([[1, 2], [3, 0]], dtype=np.uint8)) == 0.75
    with pytest.raises(ValueError, match=r"labels are \(2, 2\), the reference's are \(1, 2\)"):
        label_agreement(labels, labels[:1])


def test_measuring_opens_one_new_stream_a_side_and_closes_it_on_failure() -> None:
    clock = FakeClock()
    sides = [FakeSide("bundle", clock, [1]), FakeSide("reference", clock, [1])]

    def frames() -> Iterator[Array]:
        yield from _frames(2)
        raise RuntimeError("the video broke off")

    with pytest.raises(RuntimeError, match="broke off"):
        measure(sides, frames(), TD2, clock=clock, sleep=clock.sleep)
    assert [(side.opened, side.closed) for side in sides] == [(1, 1), (1, 1)]


@pytest.mark.parametrize(("schedule", "count"), [(TD4, 8), (TD2, 4), (PSP, 2)], ids=["m=4", "m=2", "m=1"])
def test_warm_up_takes_every_path_cold_and_warm(schedule: Schedule, count: int) -> None:
    clock = FakeClock()
    side = FakeSide("bundle", clock, [1])
    ticks: list[None] = []
    ran = warm_up(side, _frames(3), schedule, floor_ns=0, clock=clock, tick=lambda: ticks.append(None))
    assert ran == len(side.log) == len(ticks) == count
    assert {schedule.path(i) for i in range(ran) if not schedule.cold(i)} == set(range(1, schedule.paths + 1))
    assert [frame for _, frame in side.log] == [index % 3 for index in range(count)]
    assert (side.opened, side.closed) == (1, 1)


def test_warm_up_goes_on_in_whole_rounds_until_the_time_is_up() -> None:
    clock = FakeClock()
    side = FakeSide("bundle", clock, [100])
    assert warm_up(side, _frames(1), TD4, floor_ns=1000, clock=clock) == 12  # 10 would do; rounds of 4


def test_progress_ticks_once_a_frame() -> None:
    clock = FakeClock()
    ticks: list[None] = []
    sides = [FakeSide("bundle", clock, [1]), FakeSide("reference", clock, [1])]
    measure(sides, _frames(5), TD2, clock=clock, sleep=clock.sleep, tick=lambda: ticks.append(None))
    assert len(ticks) == 5
