from fractions import Fraction
from itertools import pairwise

import pytest

from tdnet_runtime.media.play_times import PlayTimes

MS = 1_000_000
HOUR = 3_600_000  # ms


def times_ms(stamps_ms, *, fps=None, arrivals_ms=None):
    times = PlayTimes(fps)
    arrivals = arrivals_ms or [None] * len(stamps_ms)
    return [
        float(times.next(stamp * MS, arrival_ns=None if arrival is None else arrival * MS) / MS)
        for stamp, arrival in zip(stamps_ms, arrivals, strict=True)
    ]


@pytest.mark.parametrize("fps", [None, Fraction(25), Fraction(24000, 1001)])
def test_stamps_that_go_forward_are_kept(fps):
    assert times_ms([7, 57, 58, 400, 400 + HOUR], fps=fps) == [0, 50, 51, 393, 393 + HOUR]


@pytest.mark.parametrize("jump", [2 * HOUR, 14 * HOUR, 1_700_000_000_000, -1, -100, -14 * HOUR])
def test_a_clock_that_is_set(jump):
    """One period after the last frame; from there on by the stamps again."""
    stamps = [0, 33, 66, 99]
    stamps += [99 + jump + ms for ms in (0, 33, 66, 99)]
    assert times_ms(stamps) == [0, 33, 66, 99, 139, 172, 205, 238]


def test_a_log_that_is_played_again():
    assert times_ms([0, 33, 66, 0, 33, 66, 0, 33]) == [0, 33, 66, 106, 139, 172, 212, 245]


@pytest.mark.parametrize(("fps", "period"), [(None, 40), (Fraction(50), 20)])
def test_a_clock_that_stands(fps, period):
    assert times_ms([0] * 9, fps=fps) == [period * i for i in range(9)]


def test_arrivals_tell_what_stamps_do_not():
    assert times_ms([0] * 4, arrivals_ms=[5, 105, 155, 1155]) == [0, 100, 150, 1150]
    assert times_ms([0, 9 * HOUR, 9 * HOUR + 50], arrivals_ms=[5, 105, 155]) == [0, 100, 150]
    # An arrival that is no help: the clock stands, or the pause is longer than a pause can be.
    assert times_ms([0] * 3, arrivals_ms=[5, 5, 5 + 2 * HOUR]) == [0, 40, 80]


def test_one_stamp_that_is_wrong_costs_nothing():
    assert times_ms([0, 100, 99 * HOUR, 300, 400]) == [0, 100, 140, 300, 400]
    assert times_ms([0, 100, -99 * HOUR, 300, 400]) == [0, 100, 140, 300, 400]


def test_whole_seconds():
    """Ten frames a second have the same stamp; seconds stay seconds."""
    found = times_ms([i // 10 * 1000 for i in range(30)])
    assert found[::10] == [0, 1000, 2000]
    assert min(b - a for a, b in pairwise(found[:10])) >= 40


def test_a_copy_has_the_time_of_its_original():
    assert times_ms([0, 50, 250, 250, 1500]) == [0, 50, 250, 250, 1500]
    assert times_ms([0, 50, 50, 50, 150], fps=None) == [0, 50, 50, 90, 150]


def test_backwards_all_the_way():
    assert times_ms([900, 800, 700, 600]) == [0, 40, 80, 120]


def test_no_period_is_longer_than_a_step_can_be():
    times = PlayTimes(Fraction(1, 100_000))
    assert times.period_ns == HOUR * MS
