"""`close` while engines, drivers and sinks hang: at the start, at a frame, and after a signal."""

import logging
import os
import signal
import threading
from functools import partialmethod

import pytest
from tests.runtime.live.conftest import END, LIMIT_S, Clock, Recorder, Script, eventually, frame

from tdnet_runtime.cli import live_run
from tdnet_runtime.cli.live_sinks import RunSink
from tdnet_runtime.errors import StreamError
from tdnet_runtime.live import LiveSegmenter
from tdnet_runtime.live.events import log_defect


@pytest.fixture
def opening(gate, monkeypatch):
    """The network, whose streams are not opened before `gate.hold` is set."""
    make = gate.stream

    def stream():
        gate.inside.set()
        assert gate.hold.wait(LIMIT_S / 6)
        return make()

    gate.hold.clear()
    monkeypatch.setattr(gate, "stream", stream)
    return gate


@pytest.fixture
def begun():
    """begun(live): the exceptions of a `start` in a thread of its own, which goes on."""
    threads = []

    def begin(live):
        found = []

        def start():
            try:
                live.start()
            except StreamError as error:
                found.append(error)

        threads.append(threading.Thread(target=start, daemon=True))
        threads[-1].start()
        return found

    yield begin
    for thread in threads:
        thread.join()


def test_an_engine_that_hangs_while_it_is_opened_is_told_and_closed(opening, begun):
    clock = Clock()
    live = LiveSegmenter(opening, {"a": Script(), "b": Script()}, clock=clock, sinks=[Recorder()])
    errors = begun(live)
    assert opening.inside.wait(LIMIT_S)
    assert live.health().devices["device:0"].state == "busy"
    clock.pass_ms(10_100)
    live._crew.watchdog.look()
    health = live.health()
    assert (health.status, health.devices["device:0"].state, health.sources["a"].state) == (
        "failing",
        "hangs",
        "opening",
    )
    assert live._crew.watchdog.thread.ident is not None
    (event,) = health.events
    assert event.message == "the backend has been at opening the stream of a for 10.1 s, and is waited for"
    live.close(0.05)
    assert (live.left_behind, opening.hold.is_set()) == (("device device:0",), False)
    eventually(lambda: errors)
    assert "start() was opening the streams when close() was called" in str(errors[0])
    opening.hold.set()
    live.close()
    assert (live.left_behind, opening.opened) == ((), 1)  # b's is not opened any more


def test_an_engine_that_was_slow_to_open_goes_on(opening, begun):
    clock = Clock()
    camera, sink = Script([frame(0)], live=True, ends=False), Recorder()
    with LiveSegmenter(opening, {"a": camera}, sinks=[sink], clock=clock) as live:
        assert begun(live) == []
        assert opening.inside.wait(LIMIT_S)
        clock.pass_ms(10_100)
        live._crew.watchdog.look()
        opening.hold.set()
        eventually(lambda: sink.results)
        assert live.health().status == "ok"
        assert set(live.health().event_counts) == {"backend_hangs", "backend_back"}


def test_a_signal_handler_closes_while_streams_are_opened(opening):
    live = LiveSegmenter(opening, {"a": Script()})

    def close(*_):
        live.close(0.05)

    def interrupt():
        assert opening.inside.wait(LIMIT_S)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, close)
    thread = threading.Thread(target=interrupt)
    try:
        thread.start()
        with pytest.raises(StreamError, match="was opening the streams when close"):
            live.start()
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)
    assert live.health().event_counts["left_behind"] == 1  # closed once
    opening.hold.set()


@pytest.mark.parametrize("timeout_s", [0.0, 0.05])
def test_an_idle_sink_is_not_left_behind_where_the_engine_hangs(gate, timeout_s):
    gate.hold.clear()
    sinks = [Recorder(str(number)) for number in range(5)]
    live = LiveSegmenter(gate, {"a": Script([frame(0)])}, sinks=sinks)
    live.start()
    assert gate.inside.wait(LIMIT_S)
    live.close(timeout_s)
    assert [name for name in live.left_behind if name.startswith("sink")] == []
    assert "device device:0" in live.left_behind
    gate.hold.set()


class Deaf(Script):
    """A source whose read does not end with its `stop`."""

    def stop(self):
        self.stopped = True


def test_threads_whose_wait_a_signal_cut_short_are_still_left_behind(gate):
    """`Thread.is_alive` is False after an interrupted `join` (Python 3.11), though the thread runs."""
    gate.hold.clear()
    camera = Deaf([frame(0)], live=True, ends=False)
    live = LiveSegmenter(gate, {"a": camera})
    live.start()
    assert gate.inside.wait(LIMIT_S)
    for name in ("device device:0", "source a"):
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            live.close(LIMIT_S / 6)
        live.close(0.0)
        assert name in live.left_behind
        gate.hold.set()  # then it waits for the source
        eventually(lambda: live._crew.workers[0].over)
    camera.put(END)
    live.close()
    assert live.left_behind == ()


class Closing(Recorder):
    """A sink that knows whether it was closed."""

    closed = False

    def close(self):
        self.closed = True


def finished(live, output, should_stop):
    """End a run of that output as `tdnet-run` does."""
    with output:
        live_run._finish(live, [output], should_stop)


def test_a_second_signal_while_an_inference_runs_closes_idle_outputs(gate, monkeypatch):
    gate.hold.clear()
    sink, signals = Closing(), [KeyboardInterrupt()]
    output = RunSink(sink, most=None, nameless=False)
    live = LiveSegmenter(gate, {"a": Script([frame(0)])}, sinks=[output])
    live.start()
    assert gate.inside.wait(LIMIT_S)
    end = LiveSegmenter.close

    def close(live, *arguments, **options):
        if signals:
            raise signals.pop()
        end(live, *arguments, **options)

    monkeypatch.setattr(LiveSegmenter, "close", close)
    finished(live, output, lambda: True)
    assert (sink.closed, output.left, output.error) == (True, False, None)
    gate.hold.set()


@pytest.mark.parametrize("asked", [[], [False, False]])  # before the end; while an output is waited for
def test_after_a_signal_an_output_that_is_stuck_is_waited_for_less_long(segmenter, monkeypatch, asked):
    monkeypatch.setattr(live_run, "_SINK_PATIENCE_S", LIMIT_S / 6)
    monkeypatch.setattr(live_run, "_SIGNALLED_PATIENCE_S", 0.05)
    monkeypatch.setattr(LiveSegmenter, "close", partialmethod(LiveSegmenter.close, 0.05))
    sink = Closing()
    sink.free.clear()
    output = RunSink(sink, most=None, nameless=False)
    live = LiveSegmenter(segmenter, {"a": Script([frame(0)])}, sinks=[output])
    live.start()
    assert sink.inside.wait(LIMIT_S)
    free = threading.Timer(LIMIT_S / 12, sink.free.set)  # long after it should have been left
    free.start()
    finished(live, output, lambda: asked.pop() if asked else True)
    assert (output.left, sink.closed) == (True, False)
    free.cancel()
    sink.free.set()


def test_a_stalled_source_is_stopped_before_the_application_hears_of_it(segmenter):
    """Whose `on_event` may take its time, in which the camera may come back."""
    clock, stopped, heard = Clock(), threading.Event(), []

    class Camera(Script):
        def stop(self):
            stopped.set()
            super().stop()

    def on_event(event):
        if event.kind == "source_stalled":
            heard.append(stopped.wait(LIMIT_S / 30))

    sources = {"front": lambda: Camera([frame(0)], live=True, ends=False)}
    with LiveSegmenter(segmenter, sources, on_event=on_event, clock=clock) as live:
        live.start()
        reader = live._crew.readers["front"]
        eventually(lambda: reader.live and reader._lane.received and reader.reading_since_ns is not None)
        clock.pass_ms(5100)
        live._crew.watchdog.look()
        eventually(lambda: heard)
    assert heard == [True]


def test_a_defect_is_logged_as_of_where_it_was_met(caplog):
    log_defect(logging.getLogger("tdnet_runtime.test"), "front", ValueError("a defect"))
    (record,) = caplog.records
    assert (record.filename, record.exc_info[0]) == ("test_ending.py", ValueError)
    assert record.getMessage() == "front: this is no error that is raised on purpose"
