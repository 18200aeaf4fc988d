"""Deadlines and jitter, worked out here by hand from the raw records: with a clock that obeys, and a real one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import pytest
from tests.benchmarks.fakes import Array, FakeClock, FakeSide

from tdnet_bench.loops.paced import measure_paced
from tdnet_bench.loops.schedule import Schedule
from tdnet_bench.records.frames import AnyRecord, PacedRecord
from tdnet_bench.sides.side import Mask, Push
from tdnet_bench.statistics.paced import PacedSummary, paced_stats

MS = 1_000_000
TD2 = Schedule(paths=2, cold_frames=1)
IMAGES = [np.full((2, 2, 3), index, dtype=np.uint8) for index in range(5)]


def _run(costs_ms: list[float], fps: float) -> tuple[list[PacedRecord], PacedSummary, FakeSide]:
    clock = FakeClock()
    clock.now_ns = 12345
    side = FakeSide("bundle", clock, [round(cost * MS) for cost in costs_ms])
    records: list[AnyRecord] = []
    measure_paced(side, IMAGES, fps, len(costs_ms), TD2, write=records.append, clock=clock, sleep=clock.sleep)
    paced = [record for record in records if isinstance(record, PacedRecord)]
    summary = paced_stats(paced)
    assert summary is not None
    return paced, summary, side


def by_hand(records: list[PacedRecord]) -> dict[str, float]:
    """The figures in plain loops over the raw records, in integers as long as possible."""
    warm = [record for record in records if not record.cold and record.push > 0]
    fps = warm[0].fps
    masks = {record.frame: record.done_ns for record in warm}
    missed = dropped = 0
    for frame in range(warm[0].frame, warm[-1].frame + 1):
        next_arrival_ns = (frame + 1) * 1_000_000_000 / fps
        if frame not in masks:
            dropped += 1
        elif masks[frame] - next_arrival_ns >= 1:  # arrivals are whole nanoseconds
            missed += 1
    gaps = []
    before = None
    for done_ns in masks.values():
        if before is not None:
            gaps.append((done_ns - before) / 1e6)
        before = done_ns
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    return {
        "missed": missed,
        "dropped": dropped,
        "jitter_ms": variance**0.5,
        "longest_ms": max(gaps),
        "worst_ms": max((record.done_ns - record.arrival_ns) / 1e6 for record in warm),
    }


def _assert_as_by_hand(records: list[PacedRecord], summary: PacedSummary) -> None:
    expected = by_hand(records)
    assert summary.gaps is not None
    assert (summary.missed, summary.dropped) == (expected["missed"], expected["dropped"])
    assert summary.processed + summary.dropped == summary.arrived
    assert summary.gaps.jitter_ms == pytest.approx(expected["jitter_ms"], rel=1e-9, abs=1e-9)
    assert summary.gaps.longest_ms == pytest.approx(expected["longest_ms"])
    assert summary.latency.max_ms == pytest.approx(expected["worst_ms"])


def test_at_a_rate_that_holds_every_frame_is_in_time() -> None:
    records, summary, side = _run([30.0, 60.0, 40.0, 50.0, 40.0], fps=10)
    assert [(r.frame, r.arrival_ns, r.started_ns) for r in records] == [
        (i, 100 * i * MS, 100 * i * MS) for i in range(5)
    ]
    assert [r.done_ns for r in records] == [30 * MS, 160 * MS, 240 * MS, 350 * MS, 440 * MS]
    assert (summary.arrived, summary.processed, summary.missed, summary.dropped) == (4, 4, 0, 0)
    assert summary.gaps is not None  # 80, 110 and 90 ms
    assert summary.gaps.count == 3
    assert summary.gaps.jitter_ms == pytest.approx(np.std([80, 110, 90]))
    assert (summary.gaps.shortest_ms, summary.gaps.longest_ms) == (80.0, 110.0)
    assert summary.latency.p50_ms == summary.host_call.p50_ms == 45.0
    assert {path: stats.p50_ms for path, stats in summary.host_call_by_path.items()} == {1: 40.0, 2: 55.0}
    assert [frame for _, frame in side.log] == [0, 1, 2, 3, 4]
    _assert_as_by_hand(records, summary)


def test_a_loop_that_falls_behind_takes_the_newest_frame() -> None:
    """Period 100 ms, 250 ms a frame: busy from 0 to 250, where frame 2 is the newest; then 500, where 5 is."""
    records, summary, side = _run([250.0] * 5, fps=10)
    assert [r.frame for r in records] == [0, 2, 5, 7, 10]
    assert [r.started_ns // MS for r in records] == [0, 250, 500, 750, 1000]
    assert [r.done_ns // MS for r in records] == [250, 500, 750, 1000, 1250]
    assert (summary.arrived, summary.processed) == (9, 4)  # frames 2 to 10
    assert (summary.missed, summary.dropped) == (4, 5)  # 3, 4, 6, 8 and 9 were dropped
    assert summary.latency.max_ms == 300.0  # frame 2 waited 50 ms
    assert summary.host_call.max_ms == 250.0
    assert summary.gaps is not None
    assert (summary.gaps.jitter_ms, summary.gaps.longest_ms) == (0.0, 250.0)
    assert [frame for _, frame in side.log] == [0, 2, 3, 1, 2]  # pictures to and fro, by arrival
    _assert_as_by_hand(records, summary)


def test_one_slow_frame_is_one_miss_and_the_next_is_late_but_in_time() -> None:
    records, summary, _ = _run([20.0, 20.0, 130.0, 20.0, 20.0], fps=10)
    assert [r.frame for r in records] == [0, 1, 2, 3, 4]
    assert [r.started_ns // MS for r in records] == [0, 100, 200, 330, 400]
    assert (summary.missed, summary.dropped) == (1, 0)
    assert summary.latency.max_ms == 130.0
    assert summary.gaps is not None  # masks at 120, 330, 350 and 420 ms
    assert (summary.gaps.longest_ms, summary.gaps.shortest_ms) == (210.0, 20.0)
    _assert_as_by_hand(records, summary)


def test_labels_at_the_very_instant_of_the_next_arrival_are_in_time() -> None:
    records, summary, _ = _run([20.0, 100.0, 100.000001, 20.0], fps=10)
    assert summary.missed == 1
    assert [r.frame for r in records] == [0, 1, 2, 3]


def test_path_and_cold_follow_the_stream_and_not_the_arrivals() -> None:
    records, _, _ = _run([250.0] * 5, fps=10)
    assert [(r.push, r.path, r.cold) for r in records] == [
        (0, 1, True), (1, 2, False), (2, 1, False), (3, 2, False), (4, 1, False)
    ]  # fmt: skip


def test_a_rate_that_is_no_whole_number_of_nanoseconds_does_not_stall() -> None:
    records, summary, _ = _run([1.0] * 50, fps=29.97)
    assert [r.frame for r in records] == list(range(50))
    assert (summary.missed, summary.dropped) == (0, 0)
    _assert_as_by_hand(records, summary)


def test_far_behind_the_newest_frame_is_found() -> None:
    records, summary, _ = _run([10_000.0] * 4, fps=333.3)
    for before, record in pairwise(records):
        arrivals = [round(i * 1e9 / 333.3) for i in range(20_000)]
        assert record.frame == max(i for i, arrival in enumerate(arrivals) if arrival <= before.done_ns)
    _assert_as_by_hand(records, summary)


class SleepingSide:
    """A network that takes so many milliseconds on a real clock."""

    name = "sleeping"

    def __init__(self, cost_ms: float) -> None:
        self._cost_s = cost_ms / 1e3

    def feed(self, image: Array) -> Array:
        return image

    @contextmanager
    def stream(self) -> Iterator[Push]:
        def push(frame: Array) -> Mask:
            time.sleep(self._cost_s)
            return Mask(lambda: frame[:, :, 0])

        yield push


@pytest.mark.parametrize("cost_ms", [1.0, 70.0], ids=["holds", "does not hold"])
def test_on_a_real_clock(cost_ms: float) -> None:
    records: list[AnyRecord] = []
    measure_paced(SleepingSide(cost_ms), IMAGES, 20, 8, TD2, write=records.append)
    paced = [record for record in records if isinstance(record, PacedRecord)]
    summary = paced_stats(paced)
    assert summary is not None
    assert len(paced) == 8
    _assert_as_by_hand(paced, summary)
    for record in paced:
        assert record.arrival_ns <= record.started_ns < record.done_ns
        assert record.done_ns - record.started_ns >= cost_ms * MS * 0.99
    assert [r.frame for r in paced] == sorted({r.frame for r in paced})
    if cost_ms > 50:  # the period: no machine holds it
        assert summary.missed == summary.processed
        assert summary.dropped > 0
