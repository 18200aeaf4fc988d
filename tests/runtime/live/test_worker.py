import threading

from tests.runtime.live.conftest import Clock, frame

from tdnet_runtime.live.events import EventLog
from tdnet_runtime.live.lane import Lane
from tdnet_runtime.live.outlet import Outlet
from tdnet_runtime.live.policy import every, newest
from tdnet_runtime.live.worker import Track, Worker


class Runner:
    """Each of its inferences takes 10 ms; `meanwhile` happens in it."""

    def __init__(self, clock):
        self.clock, self.meanwhile = clock, lambda: None

    def run(self, item):
        self.meanwhile()
        self.clock.pass_ms(10)


def made(policies):
    """A worker that does not run, its clock, and a lane for each policy."""
    clock = Clock()
    worker = Worker("fake", "", on_over=lambda: None, events=EventLog(), clock=clock)
    for name, policy in policies.items():
        lane = Lane(name, policy, worker.lock, worker.turn)
        lane.begin(live=True, cold="start")
        worker.tracks.append(Track(lane, Runner(clock)))
    return worker, clock, {track.lane.name: track.lane for track in worker.tracks}


def turns(worker, count):
    """Whose turns they are, the next ones."""
    found = ""
    for _ in range(count):
        track, item = worker._next()
        worker._do(track, item)
        found += track.lane.name
    return found


def test_who_has_waited_longest_is_next():
    worker, clock, lanes = made({"a": every(8), "b": every(8), "c": every(8)})
    for index in range(5):
        for lane in lanes.values():
            clock.pass_ms(1)
            lane.offer(frame(index), clock(), 0.0)
    assert turns(worker, 15) == "abc" * 5


def test_a_flood_does_not_drown_a_slow_camera_nor_the_other_way_round():
    worker, clock, lanes = made({"f": every(99), "s": newest()})
    for index in range(20):
        lanes["f"].offer(frame(index), clock(), 0.0)

    def meanwhile():
        clock.pass_ms(1)
        for index in range(3):  # a newer one does not wait anew
            lanes["s"].offer(frame(index), clock(), 0.0)

    worker.tracks[0].runner.meanwhile = meanwhile
    assert turns(worker, 12) == "fs" * 6
    for _ in range(3):
        lanes["s"].offer(frame(0), clock(), 0.0)
    worker.tracks[0].runner.meanwhile = lambda: None
    worker.tracks[1].runner.meanwhile = meanwhile
    assert turns(worker, 12) == "fs" * 6


def test_a_source_whose_results_find_no_room_is_passed_over():
    worker, clock, lanes = made({"a": every(8), "b": newest()})
    outlet = Outlet("sink", depth=1)
    worker.attach(outlet)
    for lane in lanes.values():
        lane.offer(frame(0), clock(), 0.0)
    outlet.has_room = lambda source, *, keeps_all: not keeps_all
    assert turns(worker, 1) == "b"
    waiting = threading.Thread(target=lambda: found.append(turns(worker, 1)))
    found = []
    waiting.start()
    del outlet.has_room
    worker.wake()
    waiting.join(60)
    assert found == ["a"]


def test_the_end():
    worker, clock, lanes = made({"a": every(8), "b": newest()})
    lanes["a"].offer(frame(0), clock(), 0.0)
    lanes["a"].finish()
    lanes["b"].finish()
    assert turns(worker, 1) == "a"
    assert worker._next() is None
    worker, clock, lanes = made({"a": every(8)})
    lanes["a"].offer(frame(0), clock(), 0.0)
    worker.stop()
    assert worker._next() is None
    assert lanes["a"].offer(frame(1), clock(), 0.0) is False
