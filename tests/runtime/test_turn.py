"""Whatever a signal handler raises and wherever, a stream can be closed afterwards."""

import sys
import threading
from functools import partial

import numpy as np
import pytest

from tdnet_runtime import Segmenter, StreamError
from tdnet_runtime.turn import TakesTurns, in_turn

FRAME = np.zeros((4, 8, 3), np.uint8)


class Interrupt(BaseException):
    pass


@pytest.fixture
def segmenter(tmp_path, write_tiny):
    write_tiny(tmp_path / "x.plan")
    with Segmenter.open(tmp_path / "x.plan", backend="fake") as opened:
        yield opened


def interrupted_at(number, call):
    """Run `call`; raise after the n-th call or return of a function, where a handler could. False: it was done before."""
    count = 0

    def profile(frame, event, argument):
        nonlocal count
        count += event != "c_call"  # no handler is called before a function of C
        if count == number and event != "c_call":
            raise Interrupt

    sys.setprofile(profile)
    try:
        call()
    except Interrupt:
        return True
    finally:
        sys.setprofile(None)
    return False


@pytest.mark.parametrize("call", ["push", "reset", "snapshot", "close"])
def test_a_handler_that_raises_anywhere_leaves_the_stream_open_to_calls(segmenter, call):
    number = 0
    while True:
        number += 1
        stream = segmenter.stream()
        do = partial(getattr(stream, call), *([FRAME] if call == "push" else []))
        again = interrupted_at(number, do)
        assert not stream.busy
        elsewhere = threading.Thread(
            target=stream.close, daemon=True
        )  # a lock left by this thread is in its way
        elsewhere.start()
        elsewhere.join(20)
        assert stream.state.value == "closed", number
        stream.close()
        if not again:
            break
    assert number > 10  # it did sweep


class Thing(TakesTurns):
    def __init__(self):
        super().__init__()
        self.entered, self.leave = threading.Event(), threading.Event()

    @in_turn
    def work(self):
        self.entered.set()
        self.leave.wait(60)


def test_a_second_one_is_refused():
    thing = Thing()
    first = threading.Thread(target=thing.work)
    first.start()
    thing.entered.wait(60)
    assert thing.busy
    with pytest.raises(StreamError, match=r"^work\(\) was called while another thread is inside"):
        thing.work()
    thing.leave.set()
    first.join()
    thing.work()
    assert not thing.busy


class Raced(Thing):
    """Another call gets in right after this one has seen that nobody is inside."""

    first = None

    @property
    def _inside(self):
        if self.first is None:
            self.first = threading.Thread(target=self.work)
            self.first.start()
            self.entered.wait(60)
            self.leave.set()
            return False
        return self.value

    @_inside.setter
    def _inside(self, value):
        self.value = value


def test_a_second_one_is_refused_where_it_has_waited_for_the_lock():
    thing = Raced()
    with pytest.raises(StreamError, match="while another thread is inside"):
        thing.work()
    thing.first.join()
    thing.work()
