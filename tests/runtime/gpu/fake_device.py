"""A GPU that computes nothing by itself and is as unforgiving as a real one.

* Work is done only when somebody waits for it, as late as possible.
* New memory holds 0xFF: NaN, and no label. So does what failed work should have written, and pinned
  memory that a copy to the host is on its way to.
* Any call can be told to fail, now (`fail_at_call`), or later, when its work is done (`fail_at_work`);
  with `deadly` everything fails from then on, as after an illegal access.
* Access that is not ordered by a stream, an event or the host's waiting raises WrongOrderError at once: two
  streams in one buffer, the host in pinned memory that is in use. So does use after closing.
* Calls from a thread where the device is not current raise WrongDeviceError.
* Capturing fails like CUDA's: waiting and allocating break it, and so does an engine that never ran. The
  application's streams must not be captured: they may wait for the default stream, which nobody may use then.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tdnet_runtime.errors import BackendError, FrameError
from tdnet_runtime.gpu.device import ForeignArray

POISON = 0xFF
ALIGNMENT = 256


class WrongOrderError(AssertionError):
    """Two accesses that nothing orders, or an access to what was closed."""


class WrongDeviceError(AssertionError):
    """A call where the device is not current."""


@dataclass(eq=False)
class FakeMemory:
    """Device memory, or pinned memory (`pinned`), and who has used it last."""

    device: FakeDevice
    name: str
    address: int
    data: np.ndarray
    pinned: bool
    closed: bool = False
    writer: tuple[int, int] | None = None
    readers: dict[int, int] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        return self.data.nbytes

    @property
    def array(self) -> np.ndarray:
        """The host's access: nothing may be under way."""
        self.require_open()
        used = [*self.readers.items(), *([self.writer] if self.writer else [])]
        if any(self.device.host_clock.get(stream, 0) < count for stream, count in used):
            raise WrongOrderError(f"the host touches pinned memory {self.name!r} while the GPU uses it")
        return self.data

    def require_open(self) -> None:
        if self.closed:
            raise WrongOrderError(f"{self.name!r} is used after it was closed")

    def close(self) -> None:
        self.closed = True
        self.device.alive.discard(self)


@dataclass(eq=False)
class Work:
    """Something to be done on a stream: reads and writes memory. `ours`: not the application's own."""

    name: str
    reads: Sequence[FakeMemory]
    writes: Sequence[FakeMemory]
    action: Callable[[], None]
    ours: bool = True


@dataclass(eq=False)
class FakeEvent:
    """A point of a stream."""

    device: FakeDevice
    stream: FakeStream | None = None
    count: int = 0
    clock: dict[int, int] = field(default_factory=dict)

    def sync(self) -> None:
        self.device.call("event sync")
        if self.stream is not None:
            self.stream.run_until(self.count)
            self.device.host_sees(self.clock)
            self.stream.report()

    def close(self) -> None:
        self.device.alive.discard(self)


@dataclass(eq=False)
class FakeGraph:
    """Captured work."""

    device: FakeDevice
    works: list[Work]

    def close(self) -> None:
        self.device.alive.discard(self)


class FakeStream:
    """A queue; see the module."""

    def __init__(self, device: FakeDevice, handle: int, *, nonblocking: bool) -> None:
        self.device = device
        self.handle = handle
        self.nonblocking = nonblocking
        self.closed = False
        self.count = 0
        self.clock: dict[int, int] = {}  # what of each stream is done before what comes next here
        self.queue: deque[tuple[int, Callable[[], None]]] = deque()
        self.capturing: list[Work] | None = None
        self.capture_error: str | None = None
        self.error: BackendError | None = None

    # The protocol

    def copy(self, target: FakeMemory, source: Any) -> None:
        self.device.call(f"copy {source.name} to {target.name}")
        origin = self.device.memory_at(source.address) if isinstance(source, ForeignArray) else source
        size = math.prod(source.shape) if isinstance(source, ForeignArray) else source.nbytes
        assert target.nbytes == size, f"{source.name} has {size} bytes, {target.name} {target.nbytes}"
        if target.pinned and self.capturing is None:
            target.data.fill(POISON)
        self.put(Work(f"copy of {target.name}", [origin], [target], _copying(target, origin, size)))

    def fill(self, memory: FakeMemory, byte: int) -> None:
        self.device.call(f"fill {memory.name}")
        self.put(Work(f"fill of {memory.name}", [], [memory], lambda: memory.data.fill(byte)))

    def record(self, event: FakeEvent) -> None:
        self.device.call("record")
        self.put_marker(lambda: None)
        event.stream, event.count, event.clock = self, self.count, dict(self.clock)

    def capture(self, work: Callable[[], None]) -> FakeGraph:
        self.device.call("begin capture")
        assert self.capturing is None
        if not self.nonblocking:
            raise WrongOrderError("the default stream cannot be used while the application's is captured")
        self.capturing, self.capture_error = [], None
        try:
            work()
            self.device.call("end capture")
            if self.capture_error is not None:
                raise BackendError(f"the capture was broken: {self.capture_error}")
            works = self.device.spoil_graph(self.capturing)
        finally:
            self.capturing = None
        self.device.call("instantiate")
        graph = FakeGraph(self.device, works)
        self.device.alive.add(graph)
        return graph

    def launch(self, graph: FakeGraph) -> None:
        self.device.call("launch")
        if graph not in self.device.alive:
            raise WrongOrderError("a closed graph is launched")
        for work in graph.works:
            self.put(work)

    def sync(self) -> None:
        self.device.call("stream sync")
        if self.capturing is not None:
            self.capture_error = "somebody waited for the stream"
            raise BackendError(self.capture_error)
        self.run_until(self.count)
        self.device.host_sees(self.clock)
        self.report()

    def close(self) -> None:
        self.closed = True
        self.device.alive.discard(self)

    # How it works

    def put(self, work: Work) -> None:
        for memory in (*work.reads, *work.writes):
            memory.require_open()
        if self.closed:
            raise WrongOrderError("work is put on a closed stream")
        if self.capturing is not None:
            self.capturing.append(work)
            return
        self.put_marker(lambda: self.device.do(self, work))
        known = {
            stream: max(self.clock.get(stream, 0), self.device.host_clock.get(stream, 0))
            for stream in self.clock.keys() | self.device.host_clock.keys()
        }
        for memory in work.reads:
            self._require_after(known, memory, [memory.writer])
            memory.readers[self.handle] = self.count
        for memory in work.writes:
            self._require_after(known, memory, [memory.writer, *memory.readers.items()])
            memory.writer = (self.handle, self.count)

    def put_marker(self, action: Callable[[], None]) -> None:
        self.count += 1
        self.clock[self.handle] = self.count
        self.queue.append((self.count, action))

    def wait_for(self, other: FakeStream) -> None:
        """As cuStreamWaitEvent with an event recorded on `other` now."""
        count = other.count
        self.put_marker(lambda: other.run_until(count))
        for stream, seen in other.clock.items():
            self.clock[stream] = max(self.clock.get(stream, 0), seen)

    def run_until(self, count: int) -> None:
        while self.queue and self.queue[0][0] <= count:
            _, action = self.queue.popleft()
            action()

    def report(self) -> None:
        error, self.error = self.error, None
        if error is not None:
            raise error

    def _require_after(
        self, known: dict[int, int], memory: FakeMemory, uses: Sequence[tuple[int, int] | None]
    ) -> None:
        for use in uses:
            if use is not None and known.get(use[0], 0) < use[1]:
                raise WrongOrderError(
                    f"stream {self.handle} uses {memory.name!r} and nothing orders it after stream {use[0]}"
                )


def _copying(target: FakeMemory, source: FakeMemory, size: int) -> Callable[[], None]:
    return lambda: np.copyto(target.data, source.data[:size])


class FakeDevice:
    """See the module.

    Attributes:
        calls: calls so far, over all streams and engines; `log` says which.
        works: pieces of work done so far.
        alive: everything that was made and not closed.
        empty_graphs: captured graphs have nothing in them, as those captured on the wrong device.
        stale_graphs: captured graphs leave out the last piece of work.
        unreachable: it cannot even be made current any more.
    """

    device_id = 0
    name = "fake GPU"
    compute_capability = "9.0"
    driver_cuda = (13, 0)

    def __init__(self) -> None:
        self.calls = self.works = 0
        self.log: list[str] = []
        self.fail_at_call: int | None = None
        self.fail_at_work: int | None = None
        self.deadly = self.dead = False
        self.empty_graphs = self.stale_graphs = False
        self.unreachable = False
        self.alive: set[Any] = set()
        self.host_clock: dict[int, int] = {}
        self.capsules: list[tuple[FakeMemory, tuple[int, ...], object]] = []
        self._memories: list[FakeMemory] = []
        self._streams: dict[int, FakeStream] = {}
        self._current = threading.local()
        self._lock = threading.RLock()

    # The protocol

    @contextmanager
    def current(self) -> Iterator[None]:
        if self.unreachable:
            raise BackendError("making the GPU current: it is gone")
        before = getattr(self._current, "inside", False)
        self._current.inside = True
        try:
            yield
        finally:
            self._current.inside = before

    def create_stream(self) -> FakeStream:
        self.call("create stream")
        stream = self._new_stream(nonblocking=True)
        self.alive.add(stream)
        return stream

    def adopt_stream(self, handle: int, owner: object) -> FakeStream:
        self.call("adopt stream")
        stream = self.stream_at(handle)
        self.alive.add(stream)
        return stream

    def create_event(self) -> FakeEvent:
        self.call("create event")
        event = FakeEvent(self)
        self.alive.add(event)
        return event

    def allocate(self, nbytes: int, *, name: str, stream: FakeStream) -> FakeMemory:
        return self._allocated(nbytes, name, pinned=False)

    def allocate_pinned(self, nbytes: int, *, name: str) -> FakeMemory:
        return self._allocated(nbytes, name, pinned=True)

    def view(self, array: Any, *, name: str, stream: FakeStream) -> ForeignArray:
        self.call(f"view {name}")
        interface = getattr(array, "__cuda_array_interface__", None)
        if interface is None:
            raise FrameError(f"no interface: {type(array).__name__}")
        if interface.get("stream") is not None:
            stream.wait_for(self.stream_at(interface["stream"]))
        strides, dtype = interface.get("strides"), np.dtype(interface["typestr"])
        return ForeignArray(
            name=name,
            address=interface["data"][0],
            shape=interface["shape"],
            strides=None if strides is None else tuple(step // dtype.itemsize for step in strides),
            dtype=dtype,
            device_id=getattr(array, "device_id", self.device_id),
            owner=array,
        )

    def dlpack(self, memory: FakeMemory, shape: tuple[int, ...], owner: object, **options: Any) -> object:
        self.call(f"dlpack {memory.name}")
        self.capsules.append((memory, shape, owner))
        return self.capsules[-1]

    def order(self, consumer: int, *, after: FakeStream) -> None:
        self.call("order")
        self.stream_at(consumer).wait_for(after)

    # For tests

    def foreign_stream(self) -> FakeStream:
        """A stream that the test, as the application, has made."""
        return self._new_stream(nonblocking=False)

    def foreign_memory(self, nbytes: int, name: str = "the caller's") -> FakeMemory:
        """Memory that the test, as the application, has made; not counted as alive."""
        memory = self._new_memory(nbytes, name, pinned=False)
        self.alive.discard(memory)
        return memory

    def stream_at(self, handle: int) -> FakeStream:
        return self._streams[handle]

    def memory_at(self, address: int) -> FakeMemory:
        (memory,) = (m for m in self._memories if m.address == address and not m.pinned)
        return memory

    def memory_called(self, name: str) -> FakeMemory:
        (memory,) = (m for m in self._memories if m.name == name and not m.pinned and not m.closed)
        return memory

    def bytes_alive(self, *, pinned: bool) -> int:
        return sum(m.nbytes for m in self.alive if isinstance(m, FakeMemory) and m.pinned == pinned)

    # How it works

    def call(self, what: str) -> None:
        """Count a call of the driver or of an engine; fail where told to."""
        if not getattr(self._current, "inside", False):
            raise WrongDeviceError(f"{what}: the device is not current in this thread")
        with self._lock:
            self.calls += 1
            self.log.append(what)
            if self.dead:
                raise BackendError(f"{what}: the GPU is gone")
            if self.calls == self.fail_at_call:
                self.dead = self.deadly
                raise BackendError(f"{what}: the fake GPU was told to fail at call {self.calls}")

    def do(self, stream: FakeStream, work: Work) -> None:
        """Do a piece of work, or fail at it."""
        self.works += work.ours
        if self.dead or (work.ours and self.works == self.fail_at_work):
            self.dead = self.deadly
            stream.error = stream.error or BackendError(f"{work.name}: failed as work {self.works}")
            for memory in work.writes:
                memory.data.fill(POISON)
        else:
            work.action()

    def host_sees(self, clock: dict[int, int]) -> None:
        for stream, count in clock.items():
            self.host_clock[stream] = max(self.host_clock.get(stream, 0), count)

    def spoil_graph(self, works: list[Work]) -> list[Work]:
        if self.empty_graphs:
            return []
        return works[:-1] if self.stale_graphs else works

    def _new_stream(self, *, nonblocking: bool) -> FakeStream:
        handle = 1000 + len(self._streams)
        self._streams[handle] = FakeStream(self, handle, nonblocking=nonblocking)
        return self._streams[handle]

    def _allocated(self, nbytes: int, name: str, *, pinned: bool) -> FakeMemory:
        self.call(f"allocate {name}")
        for stream in self._streams.values():
            if stream.capturing is not None:
                stream.capture_error = f"{name} was allocated"
                raise BackendError(stream.capture_error)
        return self._new_memory(nbytes, name, pinned=pinned)

    def _new_memory(self, nbytes: int, name: str, *, pinned: bool) -> FakeMemory:
        address = ALIGNMENT * (1 + len(self._memories)) << 24
        memory = FakeMemory(self, name, address, np.full(nbytes, POISON, np.uint8), pinned)
        self._memories.append(memory)
        self.alive.add(memory)
        return memory


@dataclass
class FakeArray:
    """An array of the application's on the GPU, as CuPy's or PyCUDA's."""

    memory: FakeMemory
    shape: tuple[int, ...]
    stream: int | None = None
    strides: tuple[int, ...] | None = None
    typestr: str = "|u1"
    device_id: int = 0

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "version": 3,
            "shape": self.shape,
            "typestr": self.typestr,
            "data": (self.memory.address, False),
            "strides": self.strides,
            "stream": self.stream,
        }
