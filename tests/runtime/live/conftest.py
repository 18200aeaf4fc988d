"""Sources that do what a test says, when it says so, and a network that can be held."""

from __future__ import annotations

import queue
import threading
import time
from fractions import Fraction

import numpy as np
import pytest

from tdnet_runtime import Segmenter
from tdnet_runtime.media.damage import DamageLog, OnDamage
from tdnet_runtime.media.frames import SourceFrame

END = object()
LIMIT_S = 60  # far above what anything here takes
HW = (4, 8)  # of the tiny bundle's input


def picture(index, size_hw=HW):
    return np.full((*size_hw, 3), index * 7 % 256, np.uint8)


def frame(index, *, stamp_ns=None, **options):
    options = {"image": picture(index), "name": f"{index:06d}"} | options
    return SourceFrame(stamp_ns=index * 33_000_000 if stamp_ns is None else stamp_ns, **options)


class Script:
    """A source that gives what is put into it: frames, or exceptions to raise. `END` ends it."""

    fps: Fraction | None = None
    frame_count = None
    size_hw = HW
    description = "a script"

    def __init__(self, items=(), *, live=False, ends=True):
        self.live = live
        self.facts = {}
        self.damage = DamageLog(OnDamage.SKIP)
        self.closed = self.stopped = False
        self.given = 0
        self._items = queue.SimpleQueue()
        self.put(*items, *([END] if ends else []))

    def put(self, *items):
        for item in items:
            self._items.put(item)

    def stop(self):
        self.stopped = True
        self._items.put(END)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.closed = True

    def __iter__(self):
        while not self.stopped and (item := self._items.get(timeout=LIMIT_S)) is not END:
            if isinstance(item, BaseException):
                raise item
            if isinstance(item, threading.Event):
                item.wait(LIMIT_S)
                continue
            self.given += 1
            yield item


class Gate:
    """A `Segmenter` whose inferences can be held, made to fail, and are counted.

    Attributes:
        hold: inferences wait while it is clear.
        inside: one is being held, or was let through.
        errors: raised by the next inferences, one each; None lets one pass.
        pushed: (name of the thread, first value of the frame) of each.
    """

    def __init__(self, segmenter):
        self.segmenter = segmenter
        self.manifest = segmenter.manifest
        self.hold, self.inside = threading.Event(), threading.Event()
        self.hold.set()
        self.errors = []
        self.pushed = []
        self.opened = 0
        self.open_errors = []

    def stream(self):
        if self.open_errors and (error := self.open_errors.pop(0)) is not None:
            raise error
        self.opened += 1
        return GatedStream(self, self.segmenter.stream())


class GatedStream:
    def __init__(self, gate, stream):
        self._gate, self._stream = gate, stream
        self.reset, self.close = stream.reset, stream.close

    def push(self, image, **how):
        self._gate.pushed.append((threading.current_thread().name, int(image.flat[0])))
        self._gate.inside.set()
        assert self._gate.hold.wait(LIMIT_S)
        if self._gate.errors and (error := self._gate.errors.pop(0)) is not None:
            raise error
        return self._stream.push(image, **how)


class Clock:
    """Monotonic ns that a test moves."""

    def __init__(self):
        self.ns = 1_000_000_000

    def __call__(self):
        return self.ns

    def pass_ms(self, ms):
        self.ns += round(ms * 1e6)


class Recorder:
    """A sink; `held` makes it wait, `errors` are raised by the next writes."""

    def __init__(self, name="recorder"):
        self.name = name
        self.results = []
        self.errors = []
        self.free, self.inside = threading.Event(), threading.Event()
        self.free.set()

    def write(self, result):
        self.inside.set()
        assert self.free.wait(LIMIT_S)
        if self.errors and (error := self.errors.pop(0)) is not None:
            raise error
        self.results.append(result)


def eventually(condition):
    """Wait until it holds; fails long after it should have."""
    until = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.001)


@pytest.fixture(scope="session")
def plan(tmp_path_factory, write_tiny):
    path = tmp_path_factory.mktemp("live") / "tiny.plan"
    write_tiny(path)
    return path


@pytest.fixture
def segmenter(plan):
    with Segmenter.open(plan, backend="fake") as opened:
        yield opened


@pytest.fixture
def gate(segmenter):
    gate = Gate(segmenter)
    yield gate
    gate.hold.set()


@pytest.fixture
def fresh(segmenter):
    """fresh(images): their labels by the plainest loop."""

    def run(images):
        with segmenter.stream() as stream:
            return [stream.push(image).labels for image in images]

    return run


def own_threads():
    """Those of the live layer."""
    names = [thread.name.partition(" ")[0] for thread in threading.enumerate()]
    return [name for name in names if name in ("source", "device", "sink", "stop", "watchdog")]


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    eventually(lambda: not own_threads())
