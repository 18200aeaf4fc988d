"""Counting what is missing."""

from __future__ import annotations

import random

import pytest

from tdnet_runtime.transports.losses import SequenceGaps, StampGaps

PERIOD_NS = 33_333_333


def test_each_sender_has_its_own_numbers() -> None:
    gaps = SequenceGaps()
    numbers = [(b"a", 1), (b"b", 7), (b"a", 2), (b"b", 10), (b"a", 4), (b"a", 1), (b"a", 2)]
    assert [gaps.before(*each) for each in numbers] == [0, 0, 0, 2, 1, 0, 0]


def test_numbers_of_strangers_do_no_harm() -> None:
    gaps = SequenceGaps()
    assert [gaps.before(b"a", number) for number in (1, 2**63 - 1, -(2**63), 5, 5)] == [0] * 5
    for index in range(1000):
        gaps.before(str(index).encode(), 1)
    assert len(gaps._last) <= 16


def stamps(count: int, *, jitter: float, lost: set[int]) -> list[int]:
    chance = random.Random(4)
    return [
        1_700_000_000_000_000_000 + round((index + chance.uniform(0, jitter)) * PERIOD_NS)
        for index in range(count)
        if index not in lost
    ]


@pytest.mark.parametrize("jitter", [0.0, 0.2, 0.4])
def test_a_steady_camera_loses_nothing(jitter: float) -> None:
    gaps = StampGaps()
    assert sum(gaps.before(stamp) for stamp in stamps(3000, jitter=jitter, lost=set())) == 0


@pytest.mark.parametrize("jitter", [0.0, 0.1])
def test_missing_frames_are_counted_where_they_are_missing(jitter: float) -> None:
    gaps = StampGaps()
    found = [gaps.before(stamp) for stamp in stamps(60, jitter=jitter, lost={20, 30, 31, 32, 45})]
    assert [(index, lost) for index, lost in enumerate(found) if lost] == [(20, 1), (29, 3), (41, 1)]


def test_pauses_and_clocks_that_jump_are_no_losses() -> None:
    gaps = StampGaps()
    times = [index * PERIOD_NS for index in range(20)]
    jumped = [*times, times[-1] + 3600 * 10**9, 5, 5, 0, -7, *(time + 1 for time in times)]
    assert sum(gaps.before(stamp) for stamp in jumped) == 0


def test_another_rate_is_learnt() -> None:
    gaps = StampGaps()
    stamp, found = 0, []
    for index in range(60):
        stamp += PERIOD_NS if index < 20 else 3 * PERIOD_NS
        found.append(gaps.before(stamp))
    assert sum(found[:20]) == 0
    assert sum(found[26:]) == 0
