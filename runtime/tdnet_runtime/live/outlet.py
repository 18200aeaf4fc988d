"""From the workers to one consumer: a bounded queue of results for each source."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Literal

from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import OptionError
from tdnet_runtime.live.result import LiveResult

__all__ = ["Outlet", "Results", "WhenFull", "names_in"]

WhenFull = Literal["wait", "drop"]


def names_in(sources: Iterable[str] | None, who: str) -> tuple[str, ...] | None:
    """The names, taken out of what may give them only once; None for all.

    Args:
        sources: names.
        who: is given them, for the message.

    Raises:
        OptionError: it is a single string, or holds something else.
    """
    if sources is None:
        return None
    if isinstance(sources, Iterable) and not isinstance(sources, str):
        names = tuple(sources)
        if all(isinstance(name, str) for name in names):
            return names
    raise OptionError(f"sources={sources!r} for {who}: expected names, such as ['front'], or None for all")


class Outlet:
    """Results on their way to one consumer, who takes them in the order in which they were made.

    A source's queue that is full either lets the oldest result go, or keeps the worker from taking that source's next
    frame until there is room. The other sources notice nothing of it.

    Args:
        name: of the consumer.
        depth: results of each source.
        when_full: `drop` the oldest or `wait`; None: wait for sources none of whose frames may be lost, else drop.
        sources: names of those that it wants; None for all.
        clock: monotonic, ns.

    Attributes:
        name: see above.
        taken: results that the consumer has taken.
        dropped: results of each source that it never got.
    """

    def __init__(
        self,
        name: str,
        *,
        depth: int = 8,
        when_full: WhenFull | None = None,
        sources: Iterable[str] | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        if depth < 1:
            raise OptionError(f"a queue of {depth} results for {name}: expected 1 or more")
        if when_full not in (None, "wait", "drop"):
            raise OptionError(f"when_full={when_full!r} for {name}: expected 'wait', 'drop' or None")
        self.name = name
        self.taken = 0
        self.dropped: Counter[str] = Counter()
        self.sources = None if sources is None else frozenset(sources)
        self._depth = depth
        self._when_full = when_full
        self._clock = clock
        self._arrived = threading.Condition()  # of an RLock: a signal handler may come in again
        self._queues: dict[str, deque[tuple[int, int, LiveResult]]] = {}
        self._number = 0
        self._ended = False
        self._on_room: tuple[Callable[[], None], ...] = ()

    @property
    def ended(self) -> bool:
        """No more results come."""
        return self._ended

    def __len__(self) -> int:
        return sum(len(queue) for queue in list(self._queues.values()))

    def attach(self, on_room: Callable[[], None]) -> None:
        """`on_room` is called, like those given before, after a result was taken from a full queue, and at the end."""
        if on_room not in self._on_room:
            self._on_room = (*self._on_room, on_room)

    def wants(self, source: str) -> bool:
        """Its results are for this consumer."""
        return self.sources is None or source in self.sources

    def has_room(self, source: str, *, keeps_all: bool) -> bool:
        """A result of it could be put without loss, or loss is allowed."""
        if self._ended or not self._waits(keeps_all=keeps_all):
            return True
        queue = self._queues.get(source)
        return queue is None or len(queue) < self._depth

    def put(self, result: LiveResult, *, keeps_all: bool) -> None:
        """Hand in a result; returns at once. Nothing after the end."""
        with self._arrived:
            if self._ended:
                return
            queue = self._queues.setdefault(result.source, deque())
            if len(queue) >= self._depth and not self._waits(keeps_all=keeps_all):
                queue.popleft()
                self.dropped[result.source] += 1
            queue.append((self._number, self._clock(), result))
            self._number += 1
            self._notify()

    def end(self, *, discard: bool = False) -> None:
        """No more results come; those that wait are taken first, or discarded (and counted)."""
        with self._arrived:
            self._ended = True
            if discard:
                for source, queue in self._queues.items():
                    self.dropped[source] += len(queue)
                    queue.clear()
            self._notify()
        self._tell_of_room()

    def take(self, timeout_s: float | None = None) -> LiveResult | None:
        """The oldest result, waiting for it; None at the end, or when the time is over.

        `stage_ms["deliver"]` is the time that it has waited in here.
        """
        with self._arrived:
            if not self._arrived.wait_for(self._something, timeout_s):
                return None
            return self._next()

    def _something(self) -> bool:
        return self._ended or any(self._queues.values())

    def _next(self) -> LiveResult | None:
        """The oldest one, or None; under the lock."""
        queue = min((queue for queue in self._queues.values() if queue), key=_age, default=None)
        if queue is None:
            return None
        was_full = len(queue) >= self._depth
        _, put_ns, result = queue.popleft()
        self.taken += 1
        if was_full:
            self._tell_of_room()
        deliver_ms = (self._clock() - put_ns) / 1e6
        return replace(result, stage_ms={**result.stage_ms, "deliver": deliver_ms})

    def _notify(self) -> None:
        self._arrived.notify_all()

    def _tell_of_room(self) -> None:
        for on_room in self._on_room:
            on_room()

    def _waits(self, *, keeps_all: bool) -> bool:
        return keeps_all if self._when_full is None else self._when_full == "wait"


def _age(queue: deque[tuple[int, int, LiveResult]]) -> int:
    return queue[0][0]


class Results(Outlet, Closeable):
    """Results for a loop: `for result in results`, or `async for`. Ends with the sources. To be used by one loop.

    A loop that is left before the end must close it (`close`, or a `with` block), or sources that wait for it wait for
    ever; closing the `LiveSegmenter` does so as well.

    Args:
        on_end: called at the end; raises what ended it, if it was an error.
    """

    def __init__(
        self,
        *,
        depth: int,
        when_full: WhenFull | None,
        sources: Iterable[str] | None,
        on_end: Callable[[], None],
        clock: Callable[[], int],
        name: str = "iterator",
    ) -> None:
        super().__init__(name, depth=depth, when_full=when_full, sources=sources, clock=clock)
        self._on_end = on_end
        self._wake: Callable[[], object] | None = None

    def close(self) -> None:
        """No more results; those that wait are dropped."""
        self.end(discard=True)

    def __iter__(self) -> Results:
        return self

    def __next__(self) -> LiveResult:
        result = self.take()
        if result is None:
            self._on_end()
            raise StopIteration
        return result

    def __aiter__(self) -> Results:
        return self

    async def __anext__(self) -> LiveResult:
        loop, arrived = asyncio.get_running_loop(), asyncio.Event()
        while True:
            with self._arrived:
                result = self._next()
                if result is not None:
                    return result
                if self._ended:
                    self._on_end()
                    raise StopAsyncIteration
                self._wake = partial(loop.call_soon_threadsafe, arrived.set)
            await arrived.wait()
            arrived.clear()

    def _notify(self) -> None:
        super()._notify()
        wake, self._wake = self._wake, None
        if wake is not None:
            try:
                wake()
            except RuntimeError:  # its loop is closed: nobody waits
                return
