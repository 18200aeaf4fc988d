import time

from tests.runtime.sinks.conftest import make_result

from tdnet_runtime.media.frames import SourceFrame
from tdnet_runtime.sinks.day_stamps import DayStamps


def frame(**changes):
    return SourceFrame(**{"image": make_result(0).frame.image, "name": "0", "stamp_ns": 5} | changes)


def test_a_camera_is_stamped_by_the_time_of_day_and_each_result_once():
    now = time.monotonic_ns()
    results = [
        make_result(0, stamp_ns=now + i, frame=frame(stamp_ns=now + i, arrival_ns=now + i)) for i in range(2)
    ]
    stamps = DayStamps()
    before = time.time_ns()
    first = stamps.of(results[0])
    assert before - 10**9 < first < before + 10**9
    assert stamps.of(results[0]) == first
    assert abs(stamps.of(results[1]) - first) < 10**9


def test_other_stamps_stay():
    now = time.monotonic_ns()
    for given in (
        frame(),  # a file
        frame(arrival_ns=10**18),  # a sender's clock
        frame(stamp_ns=now, arrival_ns=now, frame_id="cam"),  # a ROS header
    ):
        assert DayStamps().of(make_result(0, stamp_ns=given.stamp_ns, frame=given)) == given.stamp_ns
