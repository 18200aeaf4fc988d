"""Graphs are loaded by several threads: nothing that was not verified, all or an error, and the first graph's error."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from tdnet_runtime.backends.graph_loader import GraphLoader
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.errors import BackendError, BundleDigestError
from tdnet_runtime.manifest import GraphSpec

NAMES = ["subnet1", "apm1", "subnet2", "apm2"]
WAIT_S = 60
Read: TypeAlias = Callable[[], bytes]


@pytest.fixture
def bundle(made_up_bundle: Path) -> Iterator[Bundle]:
    with Bundle.open_unread(made_up_bundle) as bundle:
        yield bundle


def load_all(bundle: Bundle, load: Callable[[GraphSpec, Read], object], *, threads: int) -> dict[str, object]:
    before = set(threading.enumerate())
    try:
        return GraphLoader(bundle, "fp32", load, threads=threads).run()
    finally:
        assert set(threading.enumerate()) == before


def damaged(path: Path, content: bytes) -> Path:
    data = bytearray(path.read_bytes())
    data[data.index(content)] ^= 1
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("threads", "helpers"), [(1, 0), (2, 1), (3, 1), (64, 1)])
def test_each_graph_once_and_in_order(
    bundle: Bundle, tiny_members: dict[str, bytes], threads: int, helpers: int
) -> None:
    seen: list[str] = []

    def load(graph: GraphSpec, read: Read) -> bytes:
        seen.append(graph.name)
        return read()

    assert GraphLoader(bundle, "fp32", load, threads=threads).helpers == helpers
    loaded = load_all(bundle, load, threads=threads)
    assert sorted(seen) == sorted(NAMES)
    assert list(loaded.items()) == [(name, tiny_members[f"graphs/fp32/{name}.onnx"]) for name in NAMES]


def test_two_at_a_time(bundle: Bundle) -> None:
    together = threading.Barrier(2)

    def load(graph: GraphSpec, read: Read) -> int:
        together.wait(WAIT_S)
        return threading.get_ident()

    assert len(set(load_all(bundle, load, threads=2).values())) == 2


def test_one_thread_is_the_callers_own(bundle: Bundle) -> None:
    idents = load_all(bundle, lambda graph, read: threading.get_ident(), threads=1).values()
    assert set(idents) == {threading.get_ident()}


def test_the_system_gives_no_more_threads(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert list(load_all(bundle, lambda graph, read: None, threads=4)) == NAMES


def test_an_interruption_while_a_helper_starts(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not started again, which would run it twice where it had not come up yet."""
    started: list[threading.Thread] = []
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        started.append(thread)
        start(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_all(bundle, lambda graph, read: None, threads=2)
    assert len(started) == 1


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("error", [BackendError, BundleDigestError, MemoryError, KeyboardInterrupt])
def test_the_first_graphs_error(bundle: Bundle, threads: int, error: type[BaseException]) -> None:
    """The first in order, not in time; none is begun after it."""
    begun: list[str] = []
    others = threading.Event()

    def load(graph: GraphSpec, read: Read) -> None:
        begun.append(graph.name)
        if graph.name == "apm1":
            if threads > 1:
                others.wait(0.2)  # so that a later one's comes first
            raise error("of apm1")
        if graph.name == "subnet2":
            others.set()
            raise ValueError("of subnet2")

    with pytest.raises(error, match=r"^of apm1$"):
        load_all(bundle, load, threads=threads)
    assert "apm2" not in begun
    assert threads > 1 or begun == ["subnet1", "apm1"]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_damaged_graph_is_never_loaded(
    made_up_bundle: Path, tiny_members: dict[str, bytes], threads: int
) -> None:
    path = damaged(made_up_bundle, tiny_members["graphs/fp32/apm1.onnx"])
    seen: list[bytes] = []
    with (
        Bundle.open_unread(path) as bundle,
        pytest.raises(BundleDigestError, match=r"^member 'graphs/fp32/apm1\.onnx' has SHA-256"),
    ):
        load_all(bundle, lambda graph, read: seen.append(read()), threads=threads)
    assert set(seen) <= set(tiny_members.values())


@pytest.mark.parametrize("threads", [1, 2])
def test_what_no_graph_is_in_is_verified_too(
    made_up_bundle: Path, tiny_members: dict[str, bytes], threads: int
) -> None:
    path = damaged(made_up_bundle, tiny_members["reports/parity-fp32.json"])
    with (
        Bundle.open_unread(path) as bundle,
        pytest.raises(BundleDigestError, match=r"^member 'reports/parity-fp32\.json' has SHA-256"),
    ):
        load_all(bundle, lambda graph, read: None, threads=threads)


def test_a_child_that_has_a_part_of_them_says_so(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal handler forks while helpers load: in the child they are gone, with their graphs."""
    loader = GraphLoader(bundle, "fp32", lambda graph, read: None, threads=1)
    loader._waiting.popleft()
    with pytest.raises(BackendError, match=r"^this process was forked while its graphs were loaded"):
        loader.run()


def test_two_interruptions_leave_no_helper_behind(bundle: Bundle) -> None:
    """Ctrl-C while both load, and again while the helper is waited for, which `Thread.join` does not survive (3.11)."""
    before = set(threading.enumerate())
    together, interrupted = threading.Barrier(2), threading.Event()
    ended: list[str] = []

    def again(number: int, frame: object) -> None:
        interrupted.set()
        raise KeyboardInterrupt("again")

    def load(graph: GraphSpec, read: Read) -> None:
        together.wait(WAIT_S)
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt("once")
        while not loader._errors:
            time.sleep(0.001)
        signal.raise_signal(signal.SIGUSR1)
        assert interrupted.wait(WAIT_S)
        ended.append(graph.name)
        raise BackendError("what an engine makes of it")

    loader = GraphLoader(bundle, "fp32", load, threads=2)
    handler = signal.signal(signal.SIGUSR1, again)
    try:
        with pytest.raises(KeyboardInterrupt, match=r"^once$"):
            loader.run()
    finally:
        signal.signal(signal.SIGUSR1, handler)
    assert len(ended) == 1
    assert set(threading.enumerate()) == before


def test_what_was_loaded_goes_with_the_error(bundle: Bundle) -> None:
    """At once: an engine's memory and threads do not wait for the garbage collector."""

    class Engine:
        pass

    engines: list[weakref.ref[Engine]] = []

    def load(graph: GraphSpec, read: Read) -> Engine:
        if graph.name == "apm2":
            raise BackendError("of apm2")
        engine = Engine()
        engines.append(weakref.ref(engine))
        return engine

    gc.disable()
    try:
        for threads in (1, 2):
            with pytest.raises(BackendError):
                load_all(bundle, load, threads=threads)
            assert [engine() for engine in engines] == [None] * len(engines) != []
    finally:
        gc.enable()


_FORK = """
import os, sys, threading
from tdnet_runtime.backends.graph_loader import GraphLoader
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.errors import TdnetError

together, forked = threading.Barrier(2), threading.Event()
children = []

def load(graph, read):
    if not children:
        together.wait(60)
        if threading.current_thread() is threading.main_thread():
            children.append(os.fork())  # as a signal handler may
            forked.set()
        assert forked.wait(60)
    return read()

with Bundle.open_unread(sys.argv[1]) as bundle:
    try:
        loaded = list(GraphLoader(bundle, "fp32", load, threads=2).run())
    except TdnetError as error:
        os.write(1, f"{type(error).__name__}\\n".encode())
        os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]), *loaded)
"""


def test_a_child_that_is_forked_meanwhile_waits_for_nobody(
    made_up_bundle: Path, child_env: dict[str, str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", _FORK, made_up_bundle],
        env=child_env,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"BundleError\n7 {' '.join(NAMES)}\n"
