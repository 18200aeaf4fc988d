import pytest

from tdnet_runtime.errors import OptionError
from tdnet_runtime.live.policy import Picker, Policy, RateLimit, every, every_kth, fixed_rate, newest

MS = 1_000_000


def picked(policy, times_ms):
    picker = Picker(policy)
    return [ms for ms in times_ms if picker.picks(round(ms * MS))]


def test_who_waits():
    assert [p.keeps_all(live=True) for p in (newest(), every(), every_kth(2), fixed_rate(5))] == [0, 1, 0, 0]
    assert [p.keeps_all(live=False) for p in (newest(), every(), every_kth(2), fixed_rate(5))] == [0, 1, 1, 1]


def test_one_of_k():
    assert picked(every_kth(3), range(8)) == [0, 3, 6]
    assert picked(newest(), range(3)) == [0, 1, 2]


@pytest.mark.parametrize(("camera_hz", "hz"), [(30, 10), (30, 20), (25, 10), (60, 7)])
def test_a_fixed_rate_is_kept_in_the_mean(camera_hz, hz):
    times = [1000 * i / camera_hz for i in range(20 * camera_hz)]
    assert len(picked(fixed_rate(hz), times)) == pytest.approx(20 * hz, abs=1)


def test_a_camera_of_that_very_rate_loses_none_by_its_jitter():
    jitter = [0, 6, -5, 3, -7, 7, 0, -6]
    times = [1000 / 30 * i + jitter[i % 8] for i in range(300)]
    assert len(picked(fixed_rate(30), times)) == 300


def test_a_pause_and_a_clock_set_back_begin_anew():
    limit = RateLimit(10)
    assert limit.admits(0)
    assert not limit.admits(50 * MS)
    assert limit.admits(5000 * MS)
    assert not limit.admits(5050 * MS)
    assert limit.admits(0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: every_kth(0), r"every_kth\(0\): expected 1 or more"),
        (lambda: fixed_rate(0), r"fixed_rate\(0\): expected more than 0"),
        (lambda: fixed_rate(float("nan")), r"fixed_rate\(nan\): expected more than 0"),
        (lambda: every(0), "a queue of 0 frames: expected 1 or more"),
        (lambda: Policy(name="mine", hz=-1.0), "expected more than 0"),
    ],
)
def test_what_cannot_be_meant(make, message):
    with pytest.raises(OptionError, match=message):
        make()
