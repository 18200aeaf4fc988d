import asyncio
import threading

import pytest
from tests.runtime.live.conftest import Clock, frame

from tdnet_runtime.errors import OptionError
from tdnet_runtime.live.outlet import Outlet, Results, names_in
from tdnet_runtime.live.result import LiveResult


def result(index, source="a"):
    return LiveResult(
        source=source,
        frame=frame(index),
        labels=None,
        confidence=None,
        path=1,
        cold=False,
        frame_index=index,
        stamp_ns=index,
        memory_age_ms=(),
        dropped=0,
        late=False,
        mode="full",
        stage_ms={"wait": 1.0, "infer": 2.0},
    )


def results_of(**options):
    given = {
        "depth": 2,
        "when_full": None,
        "sources": None,
        "on_end": lambda: None,
        "clock": Clock(),
    } | options
    return Results(**given)


def test_order_over_all_sources_and_the_time_in_it():
    clock = Clock()
    outlet = Outlet("sink", clock=clock)
    for index, source in enumerate("abba"):
        outlet.put(result(index, source), keeps_all=False)
    clock.pass_ms(5)
    taken = [outlet.take() for _ in range(4)]
    assert [r.frame_index for r in taken] == [0, 1, 2, 3]
    assert taken[0].stage_ms == {"wait": 1.0, "infer": 2.0, "deliver": 5.0}
    assert outlet.take(timeout_s=0.0) is None


@pytest.mark.parametrize(
    ("when_full", "keeps_all", "waits"),
    [(None, False, False), (None, True, True), ("wait", False, True), ("drop", True, False)],
)
def test_a_full_queue(when_full, keeps_all, waits):
    woken = []
    outlet = Outlet("sink", depth=2, when_full=when_full)
    outlet.attach(lambda: woken.append(True))
    for index in range(3):
        if outlet.has_room("a", keeps_all=keeps_all):
            outlet.put(result(index), keeps_all=keeps_all)
    assert outlet.has_room("b", keeps_all=keeps_all)
    assert [outlet.take().frame_index for _ in range(len(outlet))] == ([0, 1] if waits else [1, 2])
    assert +outlet.dropped == ({} if waits else {"a": 1})
    assert len(woken) == 1  # at the first one, which made room


def test_all_who_wait_for_room_are_told_of_it_once_and_of_the_end():
    told = []

    class Waits:
        def __init__(self, name):
            self.name = name

        def wake(self):
            told.append(self.name)

    first, second = Waits("first"), Waits("second")
    outlet = Outlet("sink", depth=1)
    for each in (first, second, first):
        outlet.attach(each.wake)  # each time another object, which is equal
    outlet.put(result(0), keeps_all=True)
    outlet.take()
    assert told == ["first", "second"]
    outlet.put(result(1), keeps_all=True)
    outlet.end(discard=True)
    assert told == ["first", "second"] * 2


@pytest.mark.parametrize("sources", ["front", b"front", 3, [3], ["front", None]])
def test_what_are_no_names(sources):
    with pytest.raises(OptionError, match=r"for sink: expected names, such as \['front'\], or None"):
        names_in(sources, "sink")


def test_names_are_taken_out_of_what_gives_them_once():
    assert names_in(iter("ab"), "sink") == ("a", "b")
    assert names_in(None, "sink") is None


def test_ends():
    outlet = Outlet("sink", depth=2)
    outlet.put(result(0), keeps_all=True)
    outlet.put(result(1), keeps_all=True)
    outlet.end()
    outlet.put(result(2), keeps_all=True)
    assert outlet.has_room("a", keeps_all=True)  # nobody waits for one that has ended
    assert [outlet.take().frame_index, outlet.take().frame_index, outlet.take()] == [0, 1, None]
    outlet = Outlet("sink")
    outlet.put(result(0), keeps_all=True)
    outlet.end(discard=True)
    assert (outlet.take(), outlet.dropped["a"]) == (None, 1)


def test_a_loop_waits_and_ends_with_what_ended_it():
    results = results_of()
    got = []
    loop = threading.Thread(target=lambda: got.extend(results))
    loop.start()
    results.put(result(0), keeps_all=True)
    results.put(result(1), keeps_all=True)
    results.end()
    loop.join()
    assert [r.frame_index for r in got] == [0, 1]

    def fail():
        raise ZeroDivisionError

    results = results_of(on_end=fail)
    results.end()
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_an_asynchronous_loop():
    results = results_of(depth=8)

    def produce():
        for index in range(5):
            results.put(result(index), keeps_all=True)
        results.end()

    async def consume():
        producer = threading.Thread(target=produce)
        first = asyncio.ensure_future(results.__anext__())
        await asyncio.sleep(0)  # it waits before there is anything
        producer.start()
        got = [await first] + [each async for each in results]
        producer.join()
        return got

    assert [r.frame_index for r in asyncio.run(consume())] == list(range(5))
    results.put(result(9), keeps_all=True)  # the event loop is closed: nothing happens


def test_a_cancelled_asynchronous_loop_loses_nothing():
    results = results_of()

    async def consume():
        task = asyncio.ensure_future(results.__anext__())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        results.put(result(7), keeps_all=True)
        return await results.__anext__()

    assert asyncio.run(consume()).frame_index == 7


@pytest.mark.parametrize(
    ("options", "message"),
    [({"depth": 0}, "a queue of 0 results for sink"), ({"when_full": "block"}, "expected 'wait', 'drop'")],
)
def test_what_cannot_be_meant(options, message):
    with pytest.raises(OptionError, match=message):
        Outlet("sink", **options)
