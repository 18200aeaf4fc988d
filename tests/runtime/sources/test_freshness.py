"""Which frames of a camera are passed over, by hand-made clocks."""

from fractions import Fraction

import pytest

from tdnet_runtime.sources.freshness import Freshness

MS = 1_000_000


def given(frames, fps=Fraction(25)):
    """Indices of the frames that are given, of (time, waited, arrival) in ms."""
    freshness = Freshness(fps)
    return [
        index
        for index, (time, waited, arrival) in enumerate(frames)
        if freshness.is_new(
            None if time is None else time * MS, waited_ns=waited * MS, arrival_ns=arrival * MS
        )
    ]


def steady(first, count, *, arrival, drift=1.0):
    return [(40 * (first + i), 38, arrival + 40 * i * drift) for i in range(count)]


def test_a_burst_at_the_beginning():
    burst = [(40 * i, 0, 1000 + i) for i in range(25)]
    assert given([*burst, *steady(25, 5, arrival=1060)]) == [25, 26, 27, 28, 29]


def test_no_burst():
    assert given(steady(0, 5, arrival=1000)) == [1, 2, 3, 4]


@pytest.mark.parametrize("drift", [0.999, 1.0, 1.001])
def test_clocks_that_drift(drift):
    frames = steady(0, 3000, arrival=1000, drift=drift)
    assert len(given(frames)) == 2999


def test_after_a_pause_of_the_reader():
    frames = steady(0, 5, arrival=1000)
    late = [(40 * (5 + i), 0, 1160 + 400 + i) for i in range(10)]  # frame 15 is due at 1600
    fresh = given([*frames, *late, *steady(15, 3, arrival=1600)])
    assert fresh[:4] == [1, 2, 3, 4]
    assert fresh[-3:] == [15, 16, 17]
    assert min(fresh[4:]) >= 13  # what lags a frame and a half at most


def test_jitter_is_no_pause():
    """Two that arrive together: the second is on time."""
    frames = [*steady(0, 5, arrival=1000), (200, 60, 1240), (240, 0, 1241), (280, 38, 1280)]
    assert given(frames) == [1, 2, 3, 4, 5, 6, 7]


def test_frames_without_times():
    frames = [(None, 0, 1000 + i) for i in range(10)] + [(None, 38, 1040 + 40 * i) for i in range(3)]
    assert given(frames) == [10, 11, 12]


def test_a_decoder_that_does_not_keep_up_gives_some():
    frames = [(40 * i, 0, 1000 + 100 * i) for i in range(100)]
    assert 3 <= len(given(frames)) <= 6


def test_times_that_jump():
    frames = [
        *steady(0, 4, arrival=1000),
        (9_000_000, 38, 1160),
        (9_000_040, 38, 1200),
        (80, 38, 1240),
        (120, 38, 1280),
    ]
    assert given(frames)[:3] == [1, 2, 3]
    assert given(frames)[-1] == 7
