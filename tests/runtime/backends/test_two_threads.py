"""Two halves of one piece of work, whatever happens in them."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tdnet_runtime.backends.two_threads import TwoThreads


def test_both_at_once_and_no_thread_is_left() -> None:
    meeting = threading.Barrier(2, timeout=60)
    found: list[str] = []

    def half() -> None:
        meeting.wait()
        found.append(threading.current_thread().name)

    two, before = TwoThreads(), threading.active_count()
    for _ in range(3):
        two.run(half, half)
    assert sorted(found) == ["MainThread"] * 3 + ["tdnet-labels"] * 3
    assert threading.active_count() == before


def test_a_system_that_gives_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    done: list[str] = []
    TwoThreads().run(lambda: done.append("own"), lambda: done.append("other"))
    assert done == ["own", "other"]


def raising(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize("error", [MemoryError(), KeyboardInterrupt()])
def test_what_the_second_thread_raises_comes_out(error: BaseException) -> None:
    done: list[int] = []
    two = TwoThreads()
    with pytest.raises(type(error)) as caught:
        two.run(lambda: done.append(1), raising(error))
    assert caught.value is error
    two.run(lambda: done.append(2), lambda: None)
    assert done == [1, 2]


def test_after_an_interrupt_the_next_call_waits_for_what_goes_on() -> None:
    """Both write to the same memory."""
    go_on = threading.Event()
    order: list[str] = []

    def slow() -> None:
        assert go_on.wait(60)
        order.append("first frame")

    two = TwoThreads()
    with pytest.raises(KeyboardInterrupt):
        two.run(raising(KeyboardInterrupt()), slow)
    threading.Timer(0.05, go_on.set).start()
    two.run(lambda: order.append("second frame"), lambda: None)
    assert order == ["first frame", "second frame"]
