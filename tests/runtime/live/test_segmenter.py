import asyncio
import threading
from collections import Counter

import numpy as np
import pytest
from tests.runtime.live.conftest import LIMIT_S, Recorder, Script, eventually, frame, own_threads, picture

from tdnet_runtime import Segmenter
from tdnet_runtime.errors import BackendError, OptionError, StreamError
from tdnet_runtime.live import (
    Deadline,
    Feed,
    LiveSegmenter,
    SinkOptions,
    every,
    every_kth,
    newest,
)
from tdnet_runtime.media.scene import render
from tdnet_runtime.sinks.registry import open_sink
from tdnet_runtime.sinks.sink import SinkNetwork


def numbers(results):
    return [int(result.frame.name) for result in results]


def test_two_files_every_frame_in_order_as_by_plain_loops(segmenter, fresh):
    sources = {"a": Script(map(frame, range(9))), "b": Script(map(frame, range(20, 25)))}
    with LiveSegmenter(segmenter, sources) as live:
        results = list(live)
    for name, indices in (("a", range(9)), ("b", range(20, 25))):
        own = [result for result in results if result.source == name]
        assert numbers(own) == list(indices)
        for result, labels in zip(own, fresh([picture(i) for i in indices]), strict=True):
            assert np.array_equal(result.labels, labels)
        assert all(result.dropped == 0 for result in own)
    assert set(results[0].stage_ms) == {"wait", "infer", "deliver", "decode"}


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_labels_are_the_same_run_to_run_and_with_one_stream_or_four(tiny_bundle, backend):
    pytest.importorskip("torch")
    pytest.importorskip(backend)
    with Segmenter.open(tiny_bundle("td2-fa18"), backend=backend) as segmenter:
        size = segmenter.manifest.input
        images = [render(t, height=size.height, width=size.width) for t in range(9)]

        def run(streams):
            sources = {
                str(n): Script(frame(t, image=image) for t, image in enumerate(images))
                for n in range(streams)
            }
            with LiveSegmenter(segmenter, sources) as live:
                found = [(r.source, r.frame.name, r.labels.tobytes()) for r in live]
            return [[labels for name, _, labels in sorted(found) if name == str(n)] for n in range(streams)]

        (alone,) = run(1)
        assert len(alone) == 9
        assert run(4) == [alone] * 4 == run(4)


def test_newest_wins_and_says_what_was_dropped(gate):
    camera = Script(live=True, ends=False)
    gate.hold.clear()
    with LiveSegmenter(gate, {"front": camera}) as live:
        results = live.results()
        camera.put(frame(0))
        gate.inside.wait(LIMIT_S)
        camera.put(*map(frame, range(1, 6)))
        eventually(lambda: live.health().sources["front"].received == 6)
        gate.hold.set()
        found = [next(results), next(results)]
        assert [(r.frame.name, r.dropped) for r in found] == [("000000", 0), ("000005", 4)]
        assert found[1].memory_age_ms == (165.0,)
        health = live.health().sources["front"]
        assert (health.dropped, health.policy, health.live) == ({"newest": 4}, "newest", True)


def test_a_reader_is_held_back_where_every_frame_counts(gate):
    film = Script(map(frame, range(20)))
    gate.hold.clear()
    with LiveSegmenter(gate, {"film": Feed(open=lambda: film, policy=every(depth=2))}) as live:
        results = live.results()
        eventually(lambda: live.health().sources["film"].queue_depth == 2 and film.given == 4)
        gate.hold.set()
        assert numbers(results) == list(range(20))


def test_policies_per_source(segmenter):
    sources = {
        "all": Script(map(frame, range(9))),
        "some": Feed(open=lambda: Script(map(frame, range(9))), policy=every_kth(4)),
    }
    with LiveSegmenter(segmenter, sources, every()) as live:
        results = list(live)
    assert numbers(r for r in results if r.source == "some") == [0, 4, 8]
    assert numbers(r for r in results if r.source == "all") == list(range(9))


def test_turns_are_fair_whatever_the_rates_are(gate):
    film = Script(frame(i, image=picture(1)) for i in range(40))
    camera = Script(live=True, ends=False)
    gate.hold.clear()
    with LiveSegmenter(gate, {"film": film, "camera": camera}) as live:
        results = live.results()
        gate.inside.wait(LIMIT_S)  # the film's first
        camera.put(frame(0, image=picture(2)))
        eventually(lambda: live.health().sources["camera"].queue_depth == 1)
        eventually(
            lambda: live.health().sources["film"].queue_depth >= 3
        )  # a full one is filled up again at half
        gate.hold.set()
        order = [next(results).source for _ in range(4)]
        camera.stop()
        assert (
            order.index("camera") <= 2
        )  # after the film's first, and the one that waited before the camera's
        rest = order + [r.source for r in results]
    assert (rest.count("film"), rest.count("camera")) == (40, 1)


def test_one_worker_for_each_segmenter(plan):
    with Segmenter.open(plan, backend="fake") as one, Segmenter.open(plan, backend="fake") as other:
        sources = {
            "a": Script(map(frame, range(3))),
            "b": Feed(open=lambda: Script(map(frame, range(3))), segmenter=other),
        }
        with LiveSegmenter(one, sources) as live:
            assert len(list(live)) == 6
            assert set(live.health().devices) == {"fake:0", "fake:1"}


@pytest.mark.parametrize("kind", ["sink", "loop"])
def test_two_workers_that_share_a_full_queue(plan, kind):
    """Whoever waits for room in it is woken, whichever of the two it is."""
    with Segmenter.open(plan, backend="fake") as one, Segmenter.open(plan, backend="fake") as other:
        films = {name: Script(map(frame, range(30))) for name in "ab"}
        sources = {"a": films["a"], "b": Feed(open=lambda: films["b"], segmenter=other)}
        sink = Recorder()
        sink.free.clear()
        sinks = [SinkOptions(sink=sink, depth=2)] if kind == "sink" else []
        with LiveSegmenter(one, sources, sinks=sinks) as live:
            results = live.results(depth=2 if kind == "loop" else 99)
            eventually(lambda: all(track.lane.blocked for track in live._crew.tracks.values()))
            sink.free.set()
            found = Counter(result.source for result in results)
            live.run()
    assert found == {"a": 30, "b": 30}
    assert len(sink.results) == (60 if kind == "sink" else 0)


def test_results_by_callback_in_a_thread_of_its_own(segmenter):
    got = []
    with LiveSegmenter(
        segmenter,
        {"a": Script(map(frame, range(30)))},
        on_result=lambda result: got.append((threading.current_thread().name, result)),
    ) as live:
        health = live.run()
    assert numbers(result for _, result in got) == list(range(30))
    assert {name for name, _ in got} == {"sink callback"}
    assert (health.sinks["callback"].written, health.sources["a"].results, health.status) == (30, 30, "ok")


def test_results_by_asyncio(segmenter):
    async def consume():
        with LiveSegmenter(segmenter, {"a": Script(map(frame, range(12)))}) as live:
            return [result async for result in live]

    assert numbers(asyncio.run(consume())) == list(range(12))


def test_several_loops_and_sinks_get_the_same(segmenter):
    recorder, few = Recorder(), Recorder("few")
    sources = {"a": Script(map(frame, range(5))), "b": Script(map(frame, range(5)))}
    with LiveSegmenter(segmenter, sources, sinks=[recorder, SinkOptions(sink=few, sources=["b"])]) as live:
        loop = live.results(sources=["a"])
        assert numbers(loop) == list(range(5))
        live.run()
    assert len(recorder.results) == 10
    assert {result.source for result in few.results} == {"b"}


def test_sources_that_a_sink_would_call_the_same_are_refused_at_the_start(segmenter, tmp_path):
    network = SinkNetwork(name="n", digest="d", classes=[("road", (0, 0, 0))])
    with open_sink(f"labels:{tmp_path}/{{source}}", network) as sink:

        def live(*names, **options):
            sources = {name: Script(map(frame, range(2))) for name in names}
            return LiveSegmenter(segmenter, sources, sinks=[SinkOptions(sink=sink, **options)])

        with pytest.raises(OptionError, match="the sources 'a/b' and 'a_b' would both be called 'a_b' there"):
            live("a/b", "c", "a_b")
        live("a/b", "c", "a_b", sources=["c", "a_b"]).close()
        with live("a/b", "c") as running:
            running.run()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a_b", "c"]


def test_a_loop_goes_on_where_it_was_left(segmenter):
    with LiveSegmenter(segmenter, {"a": Script(map(frame, range(20)))}) as live:
        first = [next(iter(live)) for _ in range(3)]
        for result in live:
            first.append(result)
            break
        assert numbers([*first, *live]) == list(range(20))


def test_loops_that_ended_are_let_go(segmenter):
    camera = Script(live=True, ends=False)
    with LiveSegmenter(segmenter, {"a": camera}) as live:
        for _ in range(5):
            live.results().close()
        results = live.results()
        assert len(live._crew.tracks["a"].outlets) == len(live._crew._results) == 1
        camera.put(frame(0))
        assert next(results).frame_index == 0


def test_a_loop_that_was_left_holds_nobody_up(segmenter):
    got = Recorder()
    with LiveSegmenter(segmenter, {"a": Script(map(frame, range(40)))}, sinks=[got]) as live:
        with live.results(depth=1) as results:
            next(results)
        live.run()
    assert len(got.results) == 40


def test_a_full_loop_that_is_closed_lets_the_source_go_on(segmenter):
    got = Recorder()
    with LiveSegmenter(segmenter, {"a": Script(map(frame, range(40)))}, sinks=[got]) as live:
        results = live.results(depth=1)
        eventually(lambda: live._crew.tracks["a"].lane.blocked and len(results) == 1)
        results.close()
        live.run()
    assert len(got.results) == 40


def test_names_of_sources_that_can_be_read_once(segmenter):
    some = SinkOptions(sink=Recorder(), sources=(name for name in "b"))
    for _ in range(2):  # the options are good for another one, too
        sources = {"a": Script(map(frame, range(5))), "b": Script(map(frame, range(5)))}
        with LiveSegmenter(segmenter, sources, sinks=[some]) as live:
            assert {result.source for result in live.results(sources=iter("a"))} == {"a"}
            live.run()
    assert [result.source for result in some.sink.results] == ["b"] * 10
    with pytest.raises(OptionError, match="sources='b' for recorder: expected names"):
        SinkOptions(sink=Recorder(), sources="b")
    with (
        LiveSegmenter(segmenter, {"b": Script()}) as live,
        pytest.raises(OptionError, match="for results: exp"),
    ):
        live.results(sources="b")


def test_a_slow_loop_gets_the_newest_of_a_camera(gate):
    camera = Script(live=True, ends=False)
    with LiveSegmenter(gate, {"front": camera}, newest()) as live:
        results = live.results(depth=2)
        for index in range(6):
            camera.put(frame(index))
            eventually(lambda index=index: live.health().sources["front"].results == index + 1)
        camera.stop()
        assert numbers(results) == [4, 5]


def test_it_begins_with_the_first_step_and_not_before(segmenter):
    film = Script(map(frame, range(3)))
    with LiveSegmenter(segmenter, {"a": film}) as live:
        assert live.health().uptime_s == 0
        assert film.given == 0
    live.close()
    for call in (live.start, live.results, live.run):
        with pytest.raises(StreamError, match=r"was called on a closed LiveSegmenter"):
            call()


def test_streams_are_closed_and_sources_too(segmenter):
    mine, own = Script(map(frame, range(3))), Script(map(frame, range(3)))
    with LiveSegmenter(segmenter, {"mine": mine, "own": lambda: own}) as live:
        assert len(list(live)) == 6
    assert (mine.closed, own.closed) == (False, True)
    assert all(stream.state.value == "closed" for stream in segmenter._streams)
    LiveSegmenter(segmenter, {"mine": Script()}).close()
    assert all(stream.state.value == "closed" for stream in segmenter._streams)


def test_close_in_the_midst_of_everything(gate):
    camera, film = Script(live=True, ends=False), Script(map(frame, range(1000)))
    sink = Recorder()
    live = LiveSegmenter(gate, {"camera": camera, "film": film}, sinks=[sink])
    results = live.results()
    next(results)
    live.close()
    live.close()
    assert camera.stopped
    assert list(results) == []
    assert "left_behind" not in live.health().event_counts


def test_closing_from_a_callback(segmenter):
    live = LiveSegmenter(
        segmenter, {"film": Script(map(frame, range(1000)))}, on_result=lambda r: live.close()
    )
    live.run()
    assert live.health().devices["fake:0"].state == "over"


def test_mode_changes_reach_the_lane(gate):
    """Half rate: every second frame of a camera, from when it was too slow."""
    camera = Script(live=True, ends=False)
    deadline = Deadline(ms=1e-6, degrade=("half_rate",), misses=2)
    with LiveSegmenter(gate, {"front": camera}, deadline=deadline) as live:
        results = live.results()
        for index in range(2):
            camera.put(frame(index))
            assert next(results).late
        assert live.health().sources["front"].mode == "half_rate"
        assert live.health().status == "degraded"
        eventually(lambda: live._crew.tracks["front"].lane._limit is not None)


def test_a_smaller_network_in_its_place(plan):
    with Segmenter.open(plan, backend="fake") as one, Segmenter.open(plan, backend="fake") as small:
        camera = Script(live=True, ends=False)
        deadline = Deadline(ms=1e-6, degrade=("smaller",), misses=2)
        with LiveSegmenter(one, {"front": camera}, deadline=deadline, smaller=small) as live:
            results = live.results()
            found = []
            for index in range(4):
                camera.put(frame(index))
                found.append(next(results))
        assert [(r.mode, r.cold_start) for r in found] == [
            ("full", "start"),
            ("full", ""),
            ("smaller", "network"),
            ("smaller", ""),
        ]
        assert {stream.state.value for each in (one, small) for stream in each._streams} <= {"closed"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({},), "was given no sources; expected at least one, by name"),
        (
            ({"a": 3},),
            "a source is given as int; expected a function that opens one, a FrameSource or a Feed",
        ),
        (({"a": [1, 2]},), "a source is given as list"),
    ],
)
def test_what_cannot_be_meant(segmenter, arguments, message):
    with pytest.raises(OptionError, match=message):
        LiveSegmenter(segmenter, *arguments)
    assert all(stream.state.value == "closed" for stream in segmenter._streams)


def test_more_that_cannot_be_meant(segmenter):
    with pytest.raises(OptionError, match="expected a name of its own for each"):
        LiveSegmenter(segmenter, {"a": Script()}, sinks=[Recorder(), Recorder()])
    with pytest.raises(OptionError, match="the sink recorder of c: the sources are a"):
        LiveSegmenter(segmenter, {"a": Script()}, sinks=[SinkOptions(sink=Recorder(), sources=["c"])])
    with pytest.raises(OptionError, match="hang_after_ms is 0"):
        LiveSegmenter(segmenter, {"a": Script()}, hang_after_ms=0)
    with (
        LiveSegmenter(segmenter, {"a": Script()}) as live,
        pytest.raises(OptionError, match="results of b: the sources are a"),
    ):
        live.results(sources=["b"])


def test_streams_are_opened_in_the_thread_that_pushes(gate):
    """ONNX Runtime's CUDA graphs belong to the thread that opened the stream; also after failures in a row."""
    opened, made = [], gate.stream

    def stream():
        opened.append(threading.current_thread().name)
        return made()

    gate.stream = stream
    gate.errors = [BackendError("gone")] * 3
    with LiveSegmenter(gate, {"a": Script(map(frame, range(5))), "b": Script()}) as live:
        assert opened == []
        live.start()
        assert opened[:2] == ["device device:0"] * 2  # before the first frame
        live.run()
    assert set(opened) == {name for name, _ in gate.pushed} == {"device device:0"}
    assert len(opened) == 3


@pytest.mark.parametrize("how", ["start", "loop", "run"])
def test_an_engine_without_memory_for_all_streams_leaves_none_open(gate, segmenter, how):
    streams = []
    made = gate.stream

    def stream():
        if streams:
            raise BackendError("no memory")
        streams.append(made())
        return streams[-1]

    gate.stream = stream
    live = LiveSegmenter(gate, {"a": Script(), "b": Script()})
    begin = {"start": live.start, "loop": lambda: next(iter(live)), "run": live.run}[how]
    with pytest.raises(BackendError, match="no memory"):
        begin()
    assert own_threads() == []
    with pytest.raises(StreamError, match="closed LiveSegmenter"):
        begin()
    assert all(stream.state.value == "closed" for stream in segmenter._streams)


def test_the_system_gives_no_more_threads(segmenter, monkeypatch):
    started = threading.Thread.start

    def start(thread):
        if thread.name.startswith("source b"):
            raise RuntimeError("can't start new thread")
        started(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    sources = {"a": Script(map(frame, range(3))), "b": Script()}
    with LiveSegmenter(segmenter, sources) as live, pytest.raises(StreamError, match="no more threads"):
        live.run()
