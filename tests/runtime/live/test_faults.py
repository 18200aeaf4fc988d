"""Each row of docs/reliability.md that is the live layer's."""

import logging
import os
import signal
import threading

import numpy as np
import pytest
from tests.runtime.live.conftest import (
    END,
    LIMIT_S,
    Clock,
    Recorder,
    Script,
    eventually,
    frame,
    own_threads,
    picture,
)

from tdnet_runtime.errors import BackendError, FrameError, MediaError
from tdnet_runtime.live import (
    Deadline,
    Feed,
    GapPolicy,
    LiveSegmenter,
    Restart,
    SinkOptions,
    every,
    fixed_rate,
)

AT_ONCE = Restart(first_s=0, most_s=0)


class Openings:
    """Opens one script after the other; exceptions among them are raised, and after the last one it waits."""

    def __init__(self, *scripts):
        self.scripts = list(scripts)
        self.opened = []
        self.last = Script(live=True, ends=False)

    def __call__(self):
        script = self.scripts.pop(0) if self.scripts else self.last
        if isinstance(script, Exception):
            raise script
        self.opened.append(script)
        return script


def kinds(live):
    return [event.kind for event in live.health().events]


def take(results, count):
    return [next(results) for _ in range(count)]


@pytest.mark.parametrize(
    ("death", "words"),
    [
        (MediaError("unplugged"), "unplugged"),
        (END, "its frames ended without a word"),
        (KeyError("a defect"), "a defect"),
    ],
)
def test_a_live_source_that_dies_is_opened_again_and_starts_cold(segmenter, fresh, death, words):
    openings = Openings(
        Script([frame(0), frame(1), death], live=True, ends=False),
        MediaError("not there yet"),
        Script([frame(5), frame(6), frame(7)], live=True, ends=False),
    )
    feed = Feed(open=openings, restart=AT_ONCE, policy=every())
    with LiveSegmenter(segmenter, {"front": feed}) as live:
        results = live.results()
        found = []
        while not found or found[-1].frame.name != "000007":
            found.append(next(results))
        health = live.health().sources["front"]
        assert (health.restarts, health.state) == (1, "running")  # what failed to open does not count
        assert openings.opened[0].closed
    messages = [event.message for event in live.health().events if event.kind == "source_died"]
    assert words in messages[0]
    assert messages[0].endswith("it is opened again in 0 s")
    after = [r for r in found if r.frame.name >= "000005"]
    assert after[0].cold_start == "restart"
    names = [int(r.frame.name) for r in after]
    for result, labels in zip(after, fresh([picture(i) for i in names]), strict=True):
        assert np.array_equal(result.labels, labels)


def test_a_source_that_dies_too_often_is_given_up_and_the_others_go_on(segmenter):
    dying = Feed(
        open=Openings(*(MediaError(f"dead {i}") for i in range(9))),
        live=True,
        restart=Restart(first_s=0, limit=2),
    )
    other = Script(live=True, ends=False)
    with LiveSegmenter(segmenter, {"dying": dying, "other": other}) as live:
        results = live.results()
        eventually(lambda: live.health().sources["dying"].state == "given_up")
        other.put(frame(0))
        assert next(results).source == "other"
        assert live.health().status == "failing"
        (error,) = live.errors.values()
        assert "dying: dead 2; it died 3 times in a row" in str(error)


class Slow(Script):
    """A camera whose every read takes half a minute of the clock, the one that fails too."""

    def __init__(self, clock, count):
        super().__init__(live=True)
        self._clock, self._count = clock, count

    def __iter__(self):
        for index in range(self._count):
            self._clock.pass_ms(31_000)
            yield frame(index)
        self._clock.pass_ms(31_000)
        raise MediaError("the read timed out")


@pytest.mark.parametrize(("count", "state"), [(0, "given_up"), (1, "given_up"), (2, "running")])
def test_only_frames_settle_a_source(segmenter, count, state):
    clock = Clock()
    openings = Openings(*(Slow(clock, count) for _ in range(6)))
    restart = Restart(first_s=0, most_s=0, limit=3, stalled_after_s=None)
    with LiveSegmenter(segmenter, {"front": openings}, restart=restart, clock=clock) as live:
        live.start()
        eventually(
            lambda: live.health().sources["front"].state == "given_up" or openings.last in openings.opened
        )
        eventually(lambda: live.health().sources["front"].state == state)
        assert len(openings.opened) == (4 if state == "given_up" else 7)


def test_pauses_double_up_to_a_limit():
    restart = Restart(first_s=0.5, most_s=3.0)
    assert [restart.pause_s(n) for n in (1, 2, 3, 4, 5, 5000)] == [0.5, 1, 2, 3, 3, 3]


@pytest.mark.parametrize("error", [MediaError("damaged"), ValueError("a defect")])
def test_a_file_that_fails_ends_with_what_came_before(segmenter, caplog, error):
    sources = {"film": lambda: Script([frame(0), frame(1), error])}
    with LiveSegmenter(segmenter, sources) as live:
        assert len(list(live)) == 2
        health = live.health()
    assert (health.sources["film"].state, health.status) == ("failed", "failing")
    assert list(map(str, live.errors.values())) == [f"film: {error}"]
    assert ("a defect" in str(error)) == ("Traceback" in caplog.text)


def test_what_was_given_open_is_not_opened_again(segmenter):
    camera = Script([frame(0)], live=True)
    with LiveSegmenter(segmenter, {"front": camera}, restart=AT_ONCE) as live:
        assert len(list(live)) == 1
        assert live.health().sources["front"].state == "failed"
    assert not camera.closed


def test_an_absent_file_is_told_at_once_and_an_absent_camera_is_waited_for(segmenter):
    def absent():
        raise MediaError("there is no such thing")

    for live_one, state in ((None, "failed"), (True, "waiting")):
        sources = {"x": Feed(open=absent, live=live_one, restart=Restart(first_s=900, most_s=900))}
        with LiveSegmenter(segmenter, sources) as live:
            live.start()
            eventually(lambda: live.health().sources["x"].state == state)  # noqa: B023


def test_a_stalled_source_is_told_and_opened_again(segmenter):
    clock = Clock()
    openings = Openings(Script([frame(0)], live=True, ends=False), Script([frame(9)], live=True, ends=False))
    feed = Feed(open=openings, restart=Restart(first_s=0, stalled_after_s=5))
    with LiveSegmenter(segmenter, {"front": feed}, clock=clock) as live:
        results = live.results()
        next(results)
        clock.pass_ms(4900)
        live._crew.watchdog.look()
        assert live.health().sources["front"].state == "running"
        clock.pass_ms(200)
        live._crew.watchdog.look()
        assert next(results).cold_start == "restart"
        assert openings.opened[0].stopped
        counts = live.health().event_counts
        assert (counts["source_stalled"], counts["source_restarted"]) == (1, 1)


def test_a_stalled_source_that_was_given_open_is_only_told(segmenter):
    clock = Clock()
    camera = Script([frame(0)], live=True, ends=False)
    with LiveSegmenter(segmenter, {"front": camera}, clock=clock) as live:
        results = live.results()
        next(results)
        clock.pass_ms(6000)
        live._crew.watchdog.look()
        assert (live.health().sources["front"].state, live.health().status) == ("stalled", "degraded")
        camera.put(frame(1))
        next(results)
        eventually(lambda: live.health().sources["front"].state == "running")
        assert not camera.stopped


def told_of_a_stall(live, name, clock):
    """What is told once, after 5.1 s in which the source does nothing."""
    clock.pass_ms(5100)
    live._crew.watchdog.look()
    live._crew.watchdog.look()
    health = live.health()
    assert (health.sources[name].state, health.status) == ("stalled", "degraded")
    (told,) = [event.message for event in health.events if event.kind == "source_stalled"]
    return told


def test_a_file_whose_mount_hangs_is_told_and_waited_for(segmenter):
    clock = Clock()
    film = Script([frame(0)], ends=False)
    with LiveSegmenter(segmenter, {"film": lambda: film}, clock=clock) as live:
        results = live.results()
        next(results)
        eventually(lambda: live._crew.readers["film"].reading_since_ns is not None)
        assert told_of_a_stall(live, "film", clock) == "no frame for 5.1 s"
        film.put(frame(1), END)
        assert [r.frame.name for r in results] == ["000001"]
        assert (film.stopped, live.health().sources["film"].state, live.health().status) == (
            False,
            "ended",
            "ok",
        )


class Clings(Script):
    """A source whose `stop` blocks."""

    def __init__(self, free):
        super().__init__([frame(0)], live=True, ends=False)
        self._free = free
        self.inside, self.through = threading.Event(), threading.Event()

    def stop(self):
        self.inside.set()
        self._free.wait(10)
        self.through.set()
        super().stop()


def test_a_stop_that_blocks_hides_no_backend_that_hangs(segmenter, gate):
    clock, free = Clock(), threading.Event()
    camera = Clings(free)
    film = Feed(open=lambda: Script([frame(0)]), segmenter=gate)
    gate.hold.clear()
    with LiveSegmenter(
        segmenter, {"front": lambda: camera, "film": film}, hang_after_ms=2000, clock=clock
    ) as live:
        live.start()
        assert gate.inside.wait(LIMIT_S)
        reader = live._crew.readers["front"]
        eventually(lambda: camera.given == 1 and reader.reading_since_ns is not None)
        clock.pass_ms(5100)
        live._crew.watchdog.look()
        assert camera.inside.wait(LIMIT_S)
        assert not camera.through.is_set()
        counts = live.health().event_counts
        assert (counts["source_stalled"], counts["backend_hangs"]) == (1, 1)
        gate.hold.set()
        free.set()


def test_closing_leaves_a_stop_that_blocks_behind_and_says_so(segmenter):
    free = threading.Event()
    camera = Clings(free)
    live = LiveSegmenter(segmenter, {"front": camera})
    live.start()
    eventually(lambda: live.health().sources["front"].state == "running")
    live.close(timeout_s=0.05)
    assert not camera.through.is_set()
    (event,) = [event for event in live.health().events if event.kind == "left_behind"]
    assert event.message == "left behind after 0.05 s: source front, stop front"
    free.set()


@pytest.mark.parametrize("again", [False, True])
def test_a_source_that_hangs_while_it_is_opened_is_told(segmenter, again):
    clock, inside, free = Clock(), threading.Event(), threading.Event()
    first = Script([frame(0), MediaError("unplugged")], live=True, ends=False)
    scripts = [first] if again else []

    def open_camera():
        if scripts:
            return scripts.pop()
        inside.set()
        assert free.wait(LIMIT_S)
        return Script([frame(9)], live=True, ends=False)

    with LiveSegmenter(segmenter, {"front": open_camera}, restart=AT_ONCE, clock=clock) as live:
        results = live.results()
        assert inside.wait(LIMIT_S)
        assert live.health().sources["front"].state == "opening"
        assert live.health().status == ("degraded" if again else "ok")
        assert told_of_a_stall(live, "front", clock) == "it has been opening for 5.1 s"
        free.set()
        while next(results).frame.name != "000009":
            pass
        assert (live.health().sources["front"].state, live.health().status) == ("running", "ok")
        assert kinds(live).count("source_restarted") == 1


def test_a_source_that_hangs_while_it_is_closed_is_told(segmenter):
    clock, inside, free = Clock(), threading.Event(), threading.Event()

    class Clinging(Script):
        def __exit__(self, *error):
            inside.set()
            assert free.wait(LIMIT_S)

    openings = Openings(Clinging([frame(0), MediaError("unplugged")], live=True, ends=False))
    with LiveSegmenter(segmenter, {"front": openings}, restart=AT_ONCE, clock=clock) as live:
        live.start()
        assert inside.wait(LIMIT_S)
        assert live.health().sources["front"].state == "closing"
        clock.pass_ms(5100)
        live._crew.watchdog.look()
        assert (live.health().sources["front"].state, live.health().status) == ("stalled", "degraded")
        assert live.health().events[-1].message == "it has been closing for 5.1 s"
        free.set()
        eventually(lambda: live.health().sources["front"].restarts == 1)
        assert live.health().status == "ok"


def test_what_the_watchdog_saw_last_does_not_hide_an_end(segmenter):
    with LiveSegmenter(segmenter, {"film": Script([frame(0), MediaError("damaged")])}) as live:
        live.run()
        reader = live._crew.readers["film"]
        reader.check_stall(reader.since_ns + 10**12)
        assert (live.health().sources["film"].state, live.health().status) == ("failed", "failing")


@pytest.mark.parametrize("is_live", [True, False])
def test_a_reader_that_waits_for_the_network_is_not_stalled(gate, is_live):
    clock = Clock()
    camera = Script(map(frame, range(20)), live=is_live, ends=False)
    gate.hold.clear()
    with LiveSegmenter(gate, {"front": camera}, every(), clock=clock) as live:
        live.start()
        eventually(lambda: live._crew.tracks["front"].lane.blocked)
        clock.pass_ms(60_000)
        live._crew.watchdog.look()
        assert live.health().sources["front"].state == "running"
        gate.hold.set()


@pytest.mark.parametrize("given", [[frame(0)], 3, None])
def test_what_is_no_source_is_told(segmenter, given):
    with LiveSegmenter(segmenter, {"film": lambda: given}) as live:
        assert list(live) == []
        (error,) = live.errors.values()
    assert str(error) == f"film: opening it gave a {type(given).__name__}; expected a FrameSource"


GARBAGE = [
    None,
    "no frame at all",
    frame(1, image=None),
    frame(1, image=np.zeros((4, 8), np.uint8)),
    frame(1, image=np.zeros((4, 8, 3), np.float32)),
    frame(1, image=np.zeros((4, 8, 6), np.uint8)[..., ::2]),
    frame(1, image=np.zeros((0, 8, 3), np.uint8)),
    frame(1, stamp_ns="noon"),
    frame(1, stamp_ns=None, lost_before=-1),
    frame(1, arrival_ns=0.5),
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_left_out_and_counted(segmenter, fresh, garbage):
    with LiveSegmenter(segmenter, {"film": Script([frame(0), garbage, frame(2)])}) as live:
        results = list(live)
        health = live.health().sources["film"]
    assert [(r.frame.name, r.dropped, r.cold_start) for r in results] == [
        ("000000", 0, "start"),
        ("000002", 1, ""),
    ]
    assert (health.dropped, health.state) == ({"refused": 1}, "ended")
    assert np.array_equal(results[1].labels, fresh([picture(0), picture(2)])[1])
    assert "frame_refused" in kinds(live)


def test_a_source_that_gives_nothing_but_garbage_is_seen(gate):
    camera = Script([frame(0), "garbage", "garbage"], live=True, ends=False)
    with LiveSegmenter(gate, {"front": camera}, every()) as live:
        results = live.results()
        next(results)
        eventually(lambda: live.health().sources["front"].fruitless == 2)
        assert live.health().status == "ok"
        camera.put("garbage")
        eventually(lambda: live.health().status == "degraded")
        camera.put(frame(1))
        next(results)
        assert live.health().status == "ok"
        gate.errors = [FrameError("not one of this network's")] * 3  # by the stream, not the reader
        camera.put(*map(frame, range(3)))
        eventually(lambda: live.health().status == "degraded")


def test_an_arrival_in_the_future_is_now(segmenter):
    clock = Clock()
    with LiveSegmenter(segmenter, {"film": Script([frame(0, arrival_ns=10**18)])}, clock=clock) as live:
        (result,) = live
    assert result.stage_ms["wait"] == 0


def test_a_change_of_size(segmenter):
    pytest.importorskip("cv2")
    frames = [frame(i, image=picture(i, size)) for i, size in enumerate([(4, 8), (6, 10), (6, 10), (4, 8)])]
    with LiveSegmenter(segmenter, {"film": Script(frames)}) as live:
        assert [r.cold_start for r in live] == ["start", "size", "", "size"]


def test_a_backend_that_raises_costs_that_stream_a_frame_and_the_others_nothing(gate):
    gate.errors = [None] * 5 + [BackendError("gone")]  # both have begun by then
    sources = {"a": Script(map(frame, range(4))), "b": Script(map(frame, range(4)))}
    with LiveSegmenter(gate, sources) as live:
        results = list(live)
        health = live.health()
    assert len(results) == 7
    assert sorted(r.cold_start for r in results if r.cold_start) == ["failure", "start", "start"]
    assert sum(device.failures for device in health.devices.values()) == 1


def test_a_backend_that_fails_at_every_frame_is_seen(gate):
    camera = Script([frame(0), frame(1)], live=True, ends=False)
    gate.errors = [BackendError("an illegal memory access")] * 3
    with LiveSegmenter(gate, {"front": camera}, every()) as live:
        results = live.results()
        eventually(lambda: live.health().sources["front"].failures_in_a_row == 2)
        assert live.health().status == "ok"
        camera.put(frame(2))
        eventually(lambda: live.health().status == "failing")
        camera.put(frame(3))
        next(results)
        health = live.health()
        assert (health.status, health.sources["front"].failures_in_a_row) == ("ok", 0)
        assert health.devices["device:0"].failures == 3


def test_results_that_are_all_late_and_skipped_are_seen(segmenter):
    clock, camera = Clock(), Script(live=True, ends=False)
    deadline = Deadline(ms=20, late="skip")
    with LiveSegmenter(segmenter, {"front": camera}, every(), deadline=deadline, clock=clock) as live:
        live.start()
        camera.put(*(frame(i, arrival_ns=clock() - 30_000_000) for i in range(3)))
        eventually(lambda: live.health().status == "degraded")
        assert live.health().sources["front"].results == 0


def test_a_backend_that_hangs_is_told_and_one_that_comes_back_too(gate):
    clock = Clock()
    gate.hold.clear()
    with LiveSegmenter(gate, {"a": Script([frame(0)])}, hang_after_ms=2000, clock=clock) as live:
        results = live.results()
        gate.inside.wait(LIMIT_S)
        live._crew.watchdog.look()
        assert live.health().devices["device:0"].state == "busy"
        clock.pass_ms(2500)
        live._crew.watchdog.look()
        live._crew.watchdog.look()
        device = live.health().devices["device:0"]
        assert (device.state, device.busy_with, device.busy_s) == ("hangs", "a", 2.5)
        assert live.health().status == "failing"
        gate.hold.set()
        assert len(list(results)) == 1
        counts = live.health().event_counts
        assert (counts["backend_hangs"], counts["backend_back"]) == (1, 1)


def test_a_defect_of_this_layer_costs_one_frame_and_ends_nothing(segmenter, caplog, monkeypatch):
    with LiveSegmenter(segmenter, {"a": Script(map(frame, range(5)))}) as live:
        runner = live._crew.tracks["a"].runner
        run = runner.run

        def broken(item):
            if item.frame.name == "000002":
                raise AttributeError("a defect")
            return run(item)

        monkeypatch.setattr(runner, "run", broken)
        assert [r.frame.name for r in live] == ["000000", "000001", "000003", "000004"]
        assert live.health().event_counts["worker_failed"] == 1
    assert "Traceback" in caplog.text


def test_closing_leaves_a_backend_that_hangs_behind_and_says_so(gate):
    gate.hold.clear()
    live = LiveSegmenter(gate, {"a": Script(map(frame, range(5)))})
    live.start()
    gate.inside.wait(LIMIT_S)
    live.close(timeout_s=0.05)
    (event,) = [event for event in live.health().events if event.kind == "left_behind"]
    assert "left behind after 0.05 s: device device:0" in event.message
    gate.hold.set()


@pytest.mark.parametrize("error", [OSError, SystemExit])  # a full disk; what rich raises at a closed pipe
def test_a_log_that_cannot_be_written_ends_nothing(segmenter, fresh, monkeypatch, error):
    """A sink, a worker, a reader and `on_event` have something to tell of, and go on."""

    class Handler(logging.Handler):
        def emit(self, record):
            raise error

    def on_event(event):
        raise ValueError("a defect")

    handler, log = Handler(), logging.getLogger("tdnet_runtime")
    log.addHandler(handler)
    try:
        sink = Recorder()
        sink.errors = [OSError("full")] * 3
        film = Script([frame(0), frame(1), MediaError("unplugged")], live=True, ends=False)
        openings = Openings(film, Script(map(frame, range(2, 12)), live=True, ends=False))
        feed = Feed(open=openings, policy=every(), restart=AT_ONCE)
        sources = {"a": feed, "exits": Script([SystemExit(3)])}
        with LiveSegmenter(segmenter, sources, sinks=[sink], on_event=on_event) as live:
            runner = live._crew.tracks["a"].runner
            run, broken = runner.run, [AttributeError("a defect")]
            monkeypatch.setattr(
                runner, "run", lambda item: run(item) if not broken else (_ for _ in ()).throw(broken.pop())
            )
            assert len(take(live.results(), 11)) == 11
            eventually(lambda: len(sink.results) == 8)
            assert live._crew.readers["exits"].thread.ended()
            counts = live.health().event_counts
        assert (counts["sink_failed"], counts["worker_failed"], counts["source_died"]) == (3, 1, 1)
        assert counts["source_failed"] == 1
    finally:
        log.removeHandler(handler)


def test_a_sink_that_is_waited_for_when_a_signal_comes_is_still_left_behind(segmenter):
    """`Thread.is_alive` is False after an interrupted `join` (Python 3.11), though the thread runs."""
    sink = Recorder()
    sink.free.clear()
    live = LiveSegmenter(segmenter, {"a": Script(map(frame, range(5)))}, sinks=[sink])
    with live.results() as results:
        assert len(list(results)) == 5
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        live.close(0.0, sink_patience_s=LIMIT_S)
    live.close(0.0)
    assert "sink recorder" in live.left_behind
    sink.free.set()
    live.close(LIMIT_S)
    assert (live.left_behind, len(sink.results)) == ((), 5)


def test_a_sink_is_waited_for_while_it_gets_on(segmenter):
    sink = Recorder()
    sink.free.clear()
    live = LiveSegmenter(segmenter, {"a": Script(map(frame, range(5)))}, sinks=[sink])
    with live.results() as results:
        assert len(list(results)) == 5
    live.close(0.0, sink_patience_s=0.0)
    threading.Timer(0.1, sink.free.set).start()  # after the time of all, and long before the patience ends
    assert "sink recorder" in live.left_behind
    live.close(0.0, sink_patience_s=LIMIT_S)
    assert ("sink recorder" in live.left_behind, len(sink.results)) == (False, 5)


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit])
def test_a_callback_that_raises_is_told_and_called_again(segmenter, caplog, error):
    got = []

    def callback(result):
        got.append(result)
        raise error("in the application")

    with LiveSegmenter(segmenter, {"a": Script(map(frame, range(5)))}, on_result=callback) as live:
        health = live.run()
    sink = health.sinks["callback"]
    assert (len(got), sink.failures, sink.state, sink.error) == (5, 5, "fails", "in the application")
    assert "Traceback" in caplog.text


def test_a_sink_that_fails_does_not_stop_inference_unless_asked_to(segmenter):
    for asked in (False, True):
        sink, other = Recorder(), Recorder("other")
        sink.errors = [None, MediaError("disk full")]
        options = SinkOptions(sink=sink, stop_on_failure=asked)
        with LiveSegmenter(segmenter, {"a": Script(map(frame, range(2000)))}, sinks=[options, other]) as live:
            if asked:
                with pytest.raises(MediaError, match="disk full"):
                    live.run()
                assert len(sink.results) == 1
            else:
                health = live.run()
                assert (len(sink.results), len(other.results)) == (1999, 2000)
                assert (health.sinks["recorder"].failures, health.sinks["recorder"].written) == (1, 1999)
                assert health.sinks["recorder"].state == "ok"


def test_a_result_counts_as_written_when_it_is(segmenter):
    sink = Recorder()
    sink.free.clear()
    sink.errors = [MediaError("no space left")]
    with LiveSegmenter(segmenter, {"a": Script([frame(0), frame(1)])}, sinks=[sink]) as live:
        live.start()
        assert sink.inside.wait(LIMIT_S)
        assert (live.health().sinks["recorder"].written, live.health().sinks["recorder"].failures) == (0, 0)
        sink.free.set()
        health = live.run()
    assert (health.sinks["recorder"].written, health.sinks["recorder"].failures) == (1, 1)


def test_a_failing_sink_that_is_to_stop_all_ends_loops_with_its_error(segmenter):
    sink = Recorder()
    sink.errors = [MediaError("disk full")]
    options = SinkOptions(sink=sink, stop_on_failure=True)
    camera = Script([frame(0)], live=True, ends=False)
    with (
        LiveSegmenter(segmenter, {"a": camera}, sinks=[options]) as live,
        pytest.raises(MediaError, match="disk full"),
    ):
        list(live)


def test_a_sink_that_blocks_loses_results_of_cameras_and_nobody_else_does(segmenter):
    blocked, other = Recorder("blocked"), Recorder("other")
    blocked.free.clear()
    camera = Script(live=True, ends=False)
    clock = Clock()
    with LiveSegmenter(
        segmenter,
        {"a": camera},
        sinks=[SinkOptions(sink=blocked, depth=2), other],
        hang_after_ms=1000,
        clock=clock,
    ) as live:
        live.start()
        for index in range(8):
            camera.put(frame(index))
            eventually(lambda index=index: len(other.results) == index + 1)
        blocked.inside.wait(LIMIT_S)
        clock.pass_ms(1500)
        live._crew.watchdog.look()
        health = live.health().sinks["blocked"]
        assert (health.state, health.dropped, health.queue_depth) == ("blocks", {"a": 5}, 2)
        blocked.free.set()
        eventually(lambda: len(blocked.results) == 3)
        assert live.health().sinks["blocked"].state == "ok"
    assert [int(r.frame.name) for r in blocked.results] == [0, 6, 7]


def run_with_a_blocked_sink(gate, when_full, meanwhile):
    """Thirty frames of a file; gives the sink's results, and how many another one has while it blocks."""
    sink, free = Recorder(), Recorder("free")
    sink.free.clear()
    options = SinkOptions(sink=sink, depth=2, when_full=when_full)
    with LiveSegmenter(gate, {"a": Script(map(frame, range(30)))}, sinks=[options, free]) as live:
        live.start()
        eventually(lambda: meanwhile(live, free))
        count = len(free.results)
        sink.free.set()
        live.run()
    return sink.results, count


def test_a_sink_that_blocks_holds_up_files(gate):
    def settled(live, free):  # one result in the sink, two before it
        return len(free.results) == 3 and live.health().devices["device:0"].state == "idle"

    results, _ = run_with_a_blocked_sink(gate, None, settled)
    assert [int(r.frame.name) for r in results] == list(range(30))


def test_a_sink_that_blocks_holds_nothing_up_where_it_may_lose_results(gate):
    results, count = run_with_a_blocked_sink(gate, "drop", lambda live, free: len(free.results) == 30)
    assert (len(results), count) == (3, 30)


def test_on_event_that_raises_is_logged(segmenter, caplog):
    def on_event(event):
        raise ZeroDivisionError("in the application")

    with LiveSegmenter(segmenter, {"a": Script([frame(0), "garbage"])}, on_event=on_event) as live:
        assert len(list(live)) == 1
    assert "on_event raised, called with" in caplog.text


def test_the_log_is_not_flooded(segmenter, caplog):
    caplog.set_level(logging.WARNING)
    with LiveSegmenter(segmenter, {"a": Script(["garbage"] * 500)}) as live:
        assert list(live) == []
        assert live.health().event_counts["frame_refused"] == 500
    assert len(caplog.records) < 5


def test_frames_that_the_source_lost_are_dropped_frames(segmenter):
    frames = [frame(0), frame(4, lost_before=3), frame(5)]
    with LiveSegmenter(segmenter, {"a": Script(frames)}, gap=GapPolicy(on_lost=True)) as live:
        results = list(live)
        assert live.health().sources["a"].dropped == {"lost": 3}
    assert [(r.dropped, r.cold_start) for r in results] == [(0, "start"), (3, "lost"), (0, "")]


def test_stamps_of_a_file_that_stand_still_are_told_at_a_fixed_rate(segmenter):
    clock = Clock()
    film = Script(frame(i, stamp_ns=0) for i in range(10))
    with LiveSegmenter(segmenter, {"film": film}, fixed_rate(5), clock=clock) as live:
        assert [r.frame.name for r in live] == ["000000"]  # all came at once
        health = live.health()
    assert health.sources["film"].stamp_faults == health.event_counts["stamp_fault"] == 9
    assert health.events[0].message == "frame '000001': it has the last one's stamp; not believed"


def test_a_stop_that_raises_is_told(segmenter):
    class Broken(Script):
        def stop(self):
            super().stop()
            raise OSError("driver")

    with LiveSegmenter(segmenter, {"a": Broken(live=True, ends=False)}) as live:
        live.start()
        eventually(lambda: live.health().sources["a"].state == "running")
    assert any("its stop() raised: driver" in event.message for event in live.health().events)


def test_a_thread_per_source_device_sink_and_a_watchdog(segmenter):
    camera = Script(live=True, ends=False)
    with LiveSegmenter(
        segmenter, {"a": camera, "b": Script(live=True, ends=False)}, sinks=[Recorder()]
    ) as live:
        live.start()
        assert sorted(own_threads()) == ["device", "sink", "source", "source", "watchdog"]
