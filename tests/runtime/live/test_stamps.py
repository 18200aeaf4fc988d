import pytest

from tdnet_runtime.live.stamps import StampTimes

S = 1_000_000_000


def run(steps, *, live):
    times, found, faults = StampTimes(), [], []
    for stamp_s, arrival_s in steps:
        found.append(times.next(round(stamp_s * S), arrival_ns=round(arrival_s * S), live=live) / S)
        faults.append(times.fault)
    return found, faults


def test_stamps_are_believed():
    found, faults = run([(100, 0), (100.5, 0.6), (101.5, 1.4)], live=True)
    assert (found, faults) == ([0, 0.5, 1.5], ["", "", ""])


def test_a_clock_set_back_is_told_and_not_believed():
    found, faults = run([(100, 0), (40, 1), (41, 2)], live=True)
    assert found == [0, 1, 2]
    assert faults == ["", "its stamp is 60000 ms before the last one's", ""]


def test_a_clock_set_forward_is_told_in_live_sources_alone():
    steps = [(100, 0), (3700, 1), (3701, 2)]
    found, faults = run(steps, live=True)
    assert found == [0, 1, 2]
    assert faults[1] == "its stamp is 3.6e+06 ms after the last one's, it came 1000 ms after it"
    assert run(steps, live=False) == ([0, 3600, 3601], ["", "", ""])


def test_stamps_of_another_unit_are_told_in_live_sources_alone():
    steps = [(i / 1000 * 0.033, i * 0.033) for i in range(40)]  # microseconds, given as nanoseconds
    found, faults = run(steps, live=True)
    assert faults[:11] == [""] * 11
    assert set(faults[11:]) == {"stamps go on 1000 times as slowly as frames come"}
    assert found[-1] - found[10] == pytest.approx(29 * 0.033)
    assert not any(run(steps, live=False)[1])


def test_a_slow_simulation_and_a_log_that_pauses_are_believed():
    assert not any(run([(i * 0.033, i * 0.9) for i in range(40)], live=True)[1])
    steps = [(i * 0.033, i * 0.033 + i // 9 * 60) for i in range(40)]  # a minute after each nine frames
    assert not any(run(steps, live=True)[1])


def test_a_stamp_twice():
    found, faults = run([(1, 0), (1, 0.25)], live=False)
    assert (found, faults[1]) == ([0, 0.25], "it has the last one's stamp")


def test_forgetting():
    times = StampTimes()
    times.next(100 * S, arrival_ns=0, live=True)
    times.forget()
    assert times.next(5 * S, arrival_ns=S, live=True) == 0
    assert times.fault == ""
