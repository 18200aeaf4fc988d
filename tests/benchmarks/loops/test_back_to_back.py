from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pytest
from tests.benchmarks.fakes import Array, FakeClock, FakeSide

from tdnet_bench.inputs.footage import FootageFrame
from tdnet_bench.loops.back_to_back import measure, warm_up
from tdnet_bench.loops.schedule import Schedule
from tdnet_bench.records.frames import AnyRecord, FrameRecord
from tdnet_eval.judge import Judgement
from tdnet_runtime.errors import BackendError

TD4 = Schedule(paths=4, cold_frames=3)
TD2 = Schedule(paths=2, cold_frames=1)
PSP = Schedule(paths=1, cold_frames=0)


def _images(count: int) -> list[Array]:
    return [np.full((4, 6, 3), index, dtype=np.uint8) for index in range(count)]


def _frames(count: int) -> list[FootageFrame]:
    return [FootageFrame(image, str(index), index) for index, image in enumerate(_images(count))]


def test_all_sides_get_every_frame_before_the_next_one() -> None:
    clock = FakeClock()
    log: list[tuple[str, int]] = []
    sides = [FakeSide("bundle", clock, [1], log), FakeSide("reference", clock, [1], log)]
    count = measure(sides, _frames(4), TD2, write=[].append, clock=clock, sleep=clock.sleep)
    assert count == 4
    assert log == [
        ("bundle", 0), ("reference", 0),
        ("reference", 1), ("bundle", 1),
        ("reference", 2), ("bundle", 2),
        ("bundle", 3), ("reference", 3),
    ]  # fmt: skip


def test_records_say_path_cold_turn_and_the_clock_without_the_pause() -> None:
    clock = FakeClock()
    bundle = FakeSide("bundle", clock, [7, 5, 3], device_ns=2)
    reference = FakeSide("reference", clock, [70, 50, 30])
    records: list[AnyRecord] = []
    measure(
        [bundle, reference],
        _frames(3),
        TD2,
        write=records.append,
        pause_ms=20,
        clock=clock,
        sleep=clock.sleep,
    )
    found = [
        (r.frame, r.side, r.path, r.cold, r.turn, r.host_call_ns, r.device_compute_ns)
        for r in records
        if isinstance(r, FrameRecord)
    ]
    assert found == [
        (0, "bundle", 1, True, 0, 7, 2),
        (0, "reference", 1, True, 1, 70, None),
        (1, "reference", 2, False, 0, 50, None),
        (1, "bundle", 2, False, 1, 5, 2),
        (2, "reference", 1, False, 0, 30, None),
        (2, "bundle", 1, False, 1, 3, 2),
    ]
    assert clock.now_ns == 6 * 20_000_000 + 15 + 150


def test_cold_frames_follow_the_network() -> None:
    clock = FakeClock()
    for schedule, cold in ((TD4, [0, 1, 2]), (TD2, [0]), (PSP, [])):
        records: list[AnyRecord] = []
        side = FakeSide("bundle", clock, [1])
        measure([side], _frames(9), schedule, write=records.append, clock=clock, sleep=clock.sleep)
        frames = [r for r in records if isinstance(r, FrameRecord)]
        assert [r.frame for r in frames if r.cold] == cold
        assert [r.path for r in frames] == [index % schedule.paths + 1 for index in range(9)]


@pytest.mark.parametrize("schedule", [TD2, PSP], ids=["m=2", "m=1"])
def test_the_first_frame_of_each_sequence_is_marked(schedule: Schedule) -> None:
    clock = FakeClock()
    records: list[AnyRecord] = []
    frames = [
        FootageFrame(image, str(place), place)
        for image, place in zip(_images(5), (0, 1, 2, 0, 1), strict=True)
    ]
    measure(
        [FakeSide("bundle", clock, [1])],
        frames,
        schedule,
        write=records.append,
        clock=clock,
        sleep=clock.sleep,
    )
    assert [r.frame for r in records if isinstance(r, FrameRecord) and r.first] == [0, 3]


def test_labels_are_judged_after_all_sides_had_the_frame_and_outside_the_clock() -> None:
    clock = FakeClock()
    log: list[tuple[str, int]] = []
    sides = [FakeSide("bundle", clock, [5], log, offset=1), FakeSide("reference", clock, [9], log)]
    seen: list[tuple[str, dict[str, int]]] = []

    def judge(frame: FootageFrame, labels: Mapping[str, Array]) -> dict[str, Judgement]:
        clock.now_ns += 1000
        assert len(log) == 2 * (len(seen) + 1)
        seen.append((frame.name, {side: int(array[0, 0]) for side, array in labels.items()}))
        return {"bundle": Judgement(agreement=0.5, temporal_consistency=0.25)}

    records: list[AnyRecord] = []
    measure(sides, _frames(2), TD2, write=records.append, judge=judge, clock=clock, sleep=clock.sleep)
    assert seen == [("0", {"bundle": 1, "reference": 0}), ("1", {"reference": 1, "bundle": 2})]
    found = {(r.side, r.agreement, r.temporal_consistency) for r in records if isinstance(r, FrameRecord)}
    assert found == {("bundle", 0.5, 0.25), ("reference", None, None)}
    assert {r.host_call_ns for r in records if isinstance(r, FrameRecord)} == {5, 9}


def test_records_are_written_as_they_are_made_and_streams_closed_on_failure() -> None:
    clock = FakeClock()
    sides = [FakeSide("bundle", clock, [1]), FakeSide("reference", clock, [1])]

    def frames() -> Iterator[FootageFrame]:
        yield from _frames(2)
        raise RuntimeError("the video broke off")

    records: list[AnyRecord] = []
    with pytest.raises(RuntimeError, match="broke off"):
        measure(sides, frames(), TD2, write=records.append, clock=clock, sleep=clock.sleep)
    assert len(records) == 4
    assert [(side.opened, side.closed) for side in sides] == [(1, 1), (1, 1)]


@pytest.mark.parametrize(("schedule", "count"), [(TD4, 8), (TD2, 4), (PSP, 2)], ids=["m=4", "m=2", "m=1"])
def test_warm_up_takes_every_path_cold_and_warm(schedule: Schedule, count: int) -> None:
    clock = FakeClock()
    side = FakeSide("bundle", clock, [100, 1])
    ticks: list[None] = []
    warmed = warm_up(side, _images(3), schedule, floor_ns=0, clock=clock, tick=lambda: ticks.append(None))
    assert warmed.frames == len(side.log) == len(ticks) == count
    assert warmed.first_mask_ns == 100
    warm = {schedule.path(i) for i in range(count) if not schedule.cold(i)}
    assert warm == set(range(1, schedule.paths + 1))
    assert [frame for _, frame in side.log] == [index % 3 for index in range(count)]
    assert (side.opened, side.closed) == (1, 1)


def test_warm_up_goes_on_in_whole_rounds_until_the_time_is_up() -> None:
    clock = FakeClock()
    side = FakeSide("bundle", clock, [100])
    warmed = warm_up(side, _images(1), TD4, floor_ns=1000, clock=clock)
    assert warmed.frames == 12  # 10 would do; rounds of 4


def test_a_label_that_is_no_class_ends_the_warm_up() -> None:
    side = FakeSide("bundle", FakeClock(), [1], offset=5)
    warm_up(side, _images(3), TD2, classes=8, floor_ns=0)
    with pytest.raises(BackendError, match="bundle gave a label 7, but the network has 7 classes"):
        warm_up(side, _images(3), TD2, classes=7, floor_ns=0)
    assert (side.opened, side.closed) == (2, 2)


def test_progress_ticks_once_a_frame() -> None:
    clock = FakeClock()
    ticks: list[None] = []
    sides = [FakeSide("bundle", clock, [1]), FakeSide("reference", clock, [1])]
    measure(
        sides,
        _frames(5),
        TD2,
        write=[].append,
        clock=clock,
        sleep=clock.sleep,
        tick=lambda: ticks.append(None),
    )
    assert len(ticks) == 5


def test_a_stream_begins_anew_where_a_sequence_does() -> None:
    clock = FakeClock()
    log: list[tuple[str, int]] = []
    frames = [*_frames(3), *_frames(2)]
    records: list[AnyRecord] = []
    count = measure(
        [FakeSide("bundle", clock, [1], log)],
        frames,
        TD2,
        write=records.append,
        clock=clock,
        sleep=clock.sleep,
    )
    found = [(r.frame, r.path, r.cold) for r in records if isinstance(r, FrameRecord)]
    assert count == 5
    assert found == [(0, 1, True), (1, 2, False), (2, 1, False), (3, 1, True), (4, 2, False)]
