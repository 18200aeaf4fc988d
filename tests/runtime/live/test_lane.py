import threading

import pytest
from tests.runtime.live.conftest import eventually, frame

from tdnet_runtime.live.deadline import FULL, HALF_RATE, HOLD
from tdnet_runtime.live.lane import Lane
from tdnet_runtime.live.policy import every, every_kth, fixed_rate, newest

MS = 1_000_000


@pytest.fixture
def lane_of():
    def make(policy=None, *, live=True):
        lock = threading.RLock()
        lane = Lane("front", policy, lock, threading.Condition(lock))
        lane.begin(live=live, cold="start")
        return lane

    return make


def offer(lane, *indices, **options):
    return [lane.offer(frame(i, **options), i * 33 * MS, 1.5) for i in indices]


def take(lane):
    item = lane.take()
    return int(item.frame.name), item.before.dropped


def test_defaults_go_by_the_source(lane_of):
    assert (lane_of(live=True).policy, lane_of(live=False).policy) == ("newest", "every")
    assert (lane_of(live=True).waits, lane_of(live=False).waits) == (False, True)


def test_newest_keeps_one_and_counts_what_it_stands_for(lane_of):
    lane = lane_of(newest())
    offer(lane, 0, 1, 2)
    assert (len(lane), take(lane)) == (1, (2, 2))
    offer(lane, 3)
    assert take(lane) == (3, 0)
    assert lane.dropped["newest"] == 2


def test_what_a_dropped_frame_began_is_carried_on(lane_of):
    lane = lane_of(newest())
    offer(lane, 0, begins=True)
    offer(lane, 1, 2, lost_before=3)
    item = lane.take()
    assert (item.before.cold, item.before.lost, item.before.dropped) == ("start", 6, 8)
    offer(lane, 3, begins=True)
    offer(lane, 4)
    assert lane.take().before.cold == "begins"
    offer(lane, 5)
    assert lane.take().before.cold == ""


def test_every_waits_for_room_and_loses_none(lane_of):
    lane = lane_of(every(depth=2), live=False)
    reader = threading.Thread(target=offer, args=(lane, *range(5)))
    reader.start()
    found = []
    while len(found) < 5:
        eventually(lambda: len(lane) > 0)
        assert len(lane) <= 2
        with lane._turn:
            found.append(take(lane))
    reader.join()
    assert found == [(i, 0) for i in range(5)]
    assert not +lane.dropped


@pytest.mark.parametrize(("depth", "rests"), [(1, 1), (2, 1), (4, 2), (5, 3)])
def test_a_reader_that_waits_rests_until_half_of_the_queue_is_free(lane_of, depth, rests):
    lane = lane_of(every(depth=depth), live=False)
    woken = []
    lane._room.notify = lambda: woken.append(len(lane))
    offer(lane, *range(depth))
    lane.blocked = True
    for _ in range(rests):
        assert not woken
        lane.take()
    assert woken == [depth - rests]


def test_a_reader_that_waits_is_let_go(lane_of):
    lane = lane_of(every(depth=1), live=False)
    given = []
    reader = threading.Thread(target=lambda: given.extend(offer(lane, 0, 1)))
    reader.start()
    eventually(lambda: lane.blocked)
    with lane._turn:
        lane.give_up()
    reader.join()
    assert given == [True, False]
    assert not lane.blocked


def test_one_of_k_in_a_file_and_what_was_left_out(lane_of):
    lane = lane_of(every_kth(3), live=False)
    offer(lane, *range(7))
    assert [take(lane) for _ in range(3)] == [(0, 0), (3, 2), (6, 2)]
    assert lane.dropped["every_kth"] == 4


def test_a_fixed_rate_goes_by_stamps_in_files(lane_of):
    lane = lane_of(fixed_rate(10), live=False)
    for index in range(7):  # all arrive at once
        lane.offer(frame(index), 0, 1.5)
    assert [take(lane)[0] for _ in range(len(lane))] == [0, 3, 6]


def test_a_fixed_rate_of_a_file_goes_by_arrival_where_stamps_stand_still(lane_of):
    lane = lane_of(fixed_rate(10), live=False)
    found, faults = [], []
    for index in range(9):
        lane.offer(frame(index, stamp_ns=5, begins=index == 4), index * 33 * MS, 1.5)
        found += [take(lane)[0]] if len(lane) else []
        faults.append(lane.stamp_fault != "")
    assert found == [0, 3, 6]
    assert [index for index, fault in enumerate(faults) if fault] == [1, 2, 5, 7, 8]  # of those left out


def test_half_rate_drops_the_others(lane_of):
    lane = lane_of(newest())
    lane.set_mode(HALF_RATE, 15.0)
    found = []
    for index in range(6):
        offer(lane, index)
        found += [take(lane)] if len(lane) else []
    assert found == [(0, 0), (2, 1), (4, 1)]
    assert lane.dropped["half_rate"] == 3
    lane.set_mode(FULL, 0.0)
    offer(lane, 6, 7)
    assert take(lane) == (7, 2)


def test_held_frames_never_displace_those_to_be_segmented(lane_of):
    lane = lane_of(newest())
    lane.set_mode(HOLD, 15.0)
    offer(lane, 0, 1)  # the second is to be held, and the first still waits
    item = lane.take()
    assert (item.frame.name, item.hold) == ("000000", False)
    offer(lane, 2, 3)
    assert take(lane) == (2, 1)
    offer(lane, 4)
    assert take(lane) == (4, 1)
    offer(lane, 5)
    item = lane.take()
    assert (item.frame.name, item.hold, item.before.dropped) == ("000005", True, 0)
    offer(lane, 6, 7, 8)  # 7 may not take the place of 6, 8 may
    assert take(lane) == (8, 2)
    offer(lane, 9, 10)
    assert take(lane) == (10, 1)


def test_decoding_is_timed_where_it_is_not_waiting(lane_of):
    for live, decode_ms in ((True, None), (False, 1.5)):
        lane = lane_of(live=live)
        offer(lane, 0)
        assert lane.take().decode_ms == decode_ms
