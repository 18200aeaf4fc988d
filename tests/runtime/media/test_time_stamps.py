from fractions import Fraction

import av
import pytest

from tdnet_runtime.media.time_stamps import TimeStamps

MS = 1_000_000


def stamps(times_ms, *, fps=Fraction(25)):
    """Stamps in ms of frames with these times (None: without one)."""
    clock = TimeStamps(fps)
    given = []
    for time in times_ms:
        frame = av.VideoFrame(16, 16, "gray")
        frame.pts, frame.time_base = time, Fraction(1, 1000)
        given.append(clock.next(frame) / MS)
    return given, clock


def test_uneven_times_are_kept():
    given, clock = stamps([10_000, 10_080, 10_180, 10_500])
    assert given == [10_000, 10_080, 10_180, 10_500]
    assert clock.facts == {"shortest_step_s": 0.08, "longest_step_s": 0.32}


def test_frames_without_times_come_one_period_apart():
    assert stamps([None, None, None])[0] == [0, 40, 80]
    assert stamps([None, None], fps=None)[0] == [0, 40]
    assert stamps([200, None, 300], fps=Fraction(20))[0] == [200, 250, 300]


def test_equal_and_slightly_earlier_times_still_increase():
    given, clock = stamps([0, 40, 40, 39, 80])
    assert given == [0, 40, 40 + 1e-6, 40 + 2e-6, 80]
    assert clock.facts["frames_out_of_time_order"] == 2


def test_joined_recordings_go_on_where_the_first_ended():
    given, clock = stamps([5000, 5040, 5080, 0, 40, 80])
    assert given == [5000, 5040, 5080, 5120, 5160, 5200]
    assert clock.disorder == 1


@pytest.mark.parametrize(("told_ms", "expected_ms"), [(100, 100), (25, 25), (1, 40), (0, 40)])
def test_how_long_a_frame_is_shown(told_ms, expected_ms):
    frame = av.VideoFrame(16, 16, "gray")
    frame.time_base = Fraction(1, 1000)
    frame.duration = told_ms
    assert TimeStamps(Fraction(25)).duration_ns(frame) == expected_ms * MS


def test_one_frame_has_no_steps():
    assert stamps([0])[1].facts == {}
