"""Stamps and gaps by hand; whole logs are in test_mcap.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tdnet_runtime.sources.log_times import LogTimes, MissingFrames


@given(st.lists(st.tuples(st.integers(-10, 100), st.integers(0, 100)), max_size=30))
def test_stamps_increase_whatever_comes(pairs):
    times = LogTimes()
    stamps = [times.next(header, log) for header, log in pairs]
    assert np.all(np.diff(stamps) > 0)


def test_the_time_of_recording_keeps_its_distances():
    times = LogTimes()
    assert [times.next(1000, 0), times.next(2000, 10), times.next(0, 25), times.next(3000, 45)] == [
        1000,
        2000,
        2015,
        2035,
    ]
    assert times.source == "time of recording"


@pytest.mark.parametrize("recorded", [0, 1_000_000, 10**18])
def test_stamps_do_not_jump_where_they_change_over(recorded):
    """Headers in simulated time, one of them twice, and a recorder that counts from 1970."""
    times, watch = LogTimes(), MissingFrames()
    headers = [10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 100, 120, 130]
    stamps = [times.next(header, recorded + 10 * index) for index, header in enumerate(headers)]
    assert stamps == list(range(10, 140, 10))
    assert [watch.before(stamp, 0) for stamp in stamps] == [0] * len(stamps)


def missing(stamps, numbers=None):
    watch = MissingFrames()
    return [
        watch.before(stamp, number)
        for stamp, number in zip(stamps, numbers or [0] * len(stamps), strict=True)
    ]


def test_stamps_tell_after_eight_steps():
    stamps = [10 * i for i in range(20)]
    assert missing(stamps) == [0] * 20
    del stamps[12:14], stamps[3]
    assert missing(stamps) == [0] * 11 + [2] + [0] * 5


def test_a_rate_that_changes_for_good_is_no_loss_for_long():
    stamps = [*range(0, 100, 10), *range(100, 2100, 20)]
    assert 0 < sum(missing(stamps)) < 40


def test_numbers_are_believed_once_they_counted_and_only_then():
    stamps = list(range(0, 200, 10))
    assert missing(stamps, [0, 7, 9, 20, 21, 22, 40] + [0] * 13) == [0] * 20
    numbers = [*range(10), *range(13, 23)]
    assert missing(stamps, numbers) == [0] * 10 + [3] + [0] * 9
    assert missing(stamps, [*range(10), *range(10)]) == [0] * 20  # it began to count anew
