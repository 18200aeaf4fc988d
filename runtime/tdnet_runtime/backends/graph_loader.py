"""A bundle's graphs, loaded by several threads at once: most of the time from a process's start to its first mask.

ONNX Runtime 1.32 and OpenVINO 2026.4 let go of Python's lock while they load a graph, each on one core; reading a
member and hashing it goes on beside it.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Generic, TypeVar

from tdnet_runtime.backends.heap import give_back
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.errors import BackendError
from tdnet_runtime.forks import count, starting_engine
from tdnet_runtime.manifest import GraphSpec

__all__ = ["GraphLoader"]

Loaded = TypeVar("Loaded")

_MOST = 2  # each holds a graph's bytes and up to three copies of its weights meanwhile
_LOOK_S = 0.2
_INTERRUPTED = -1  # before any graph's error: Ctrl-C is not to be taken for a broken graph


class GraphLoader(Generic[Loaded]):
    """Loads all graphs of one precision.

    Args:
        bundle: what it reads from; with nothing left unread afterwards.
        precision: of the graphs.
        load: makes of a graph what is to be kept; called by several threads. Its second argument gives the graph's bytes,
            which were verified, and keeps none of them: so `load` decides how long they are held.
        threads: that the engine computes with: a limit for loading, too.

    Attributes:
        helpers: threads beside the calling one.
        nbytes: of the graphs, as the bundle has them.
    """

    def __init__(
        self,
        bundle: Bundle,
        precision: str,
        load: Callable[[GraphSpec, Callable[[], bytes]], Loaded],
        *,
        threads: int,
    ) -> None:
        self._bundle = bundle
        self._precision = precision
        self._load = load
        self._graphs: Sequence[GraphSpec] = bundle.manifest.at(precision).graphs
        self._waiting = deque(enumerate(self._graphs))
        self._loaded: dict[str, Loaded] = {}
        self._errors: dict[int, BaseException] = {}
        self._over = False
        self._begun: list[None] = []  # an entry for each helper
        self._ended: list[None] = []
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        members = bundle.manifest.members
        self.nbytes = sum(members[graph.members[precision]].size for graph in self._graphs)
        self.helpers = min(threads, len(self._graphs), _MOST) - 1

    def run(self) -> dict[str, Loaded]:
        """All of them by name, in the manifest's order; to be called once.

        Raises:
            BackendError: this is a child that its process forked meanwhile.
            BaseException: what `load`, `Bundle.read` and `Bundle.verify` raise; of several, what interrupted it (Ctrl-C),
                or what the first graph in order met. No other graph is begun after the first error, no thread is left
                running, and nothing that was loaded is kept.
        """
        forks = count()
        helpers = [
            threading.Thread(target=self._help, name="tdnet-graph-loader") for _ in range(self.helpers)
        ]
        while True:
            try:
                self._start(helpers)
                self._work()
                self._wait_for(helpers, forks)
                break
            except BaseException as error:  # Ctrl-C: nothing is begun any more, and what was is waited for
                self._errors.setdefault(_INTERRUPTED, error)
        try:
            return self._result()
        finally:
            self._loaded.clear()
            self._errors.clear()  # whose tracebacks lead here

    def _start(self, helpers: Sequence[threading.Thread]) -> None:
        if self._errors:
            return  # interrupted; a thread whose start was would get a twin
        with suppress(RuntimeError):  # the system gives no more
            for helper in helpers:
                helper.start()

    def _work(self) -> None:
        """One thread's share: graphs while there are some, then members that no graph is in."""
        index = len(self._graphs)
        try:
            while self._waiting and not self._errors:
                try:
                    index, graph = self._waiting.popleft()
                except IndexError:
                    break  # another thread was faster
                read = partial(self._bundle.read, graph.members[self._precision])
                self._loaded[graph.name] = self._load(graph, read)
            index = len(self._graphs)
            if not self._errors:
                self._bundle.verify()
        except BaseException as error:
            self._errors.setdefault(index if isinstance(error, Exception) else _INTERRUPTED, error)

    def _help(self) -> None:
        """As `_work`, in a thread of which forks are to know as of the caller's (see `open_backend`)."""
        self._begun.append(None)
        try:
            if not self._over:
                with starting_engine():
                    self._work()
        except BackendError as error:  # forked meanwhile
            self._errors.setdefault(len(self._graphs), error)
        finally:
            self._ended.append(None)
            self._wake.put(None)

    def _wait_for(self, helpers: Sequence[threading.Thread], forks: int) -> None:
        """Until those that began are done: one that begins later has nothing to do, and in a forked child there are none.

        Not by `join`, which does not wait any more once it was interrupted (Python 3.11).
        """
        self._over = True
        while len(self._ended) < len(self._begun) and count() == forks:
            with suppress(queue.Empty):
                self._wake.get(timeout=_LOOK_S)
        for helper in helpers:
            if count() == forks and helper.is_alive():
                helper.join()

    def _result(self) -> dict[str, Loaded]:
        give_back(self.nbytes)
        if self._errors:
            raise self._errors[min(self._errors)]
        if len(self._loaded) < len(self._graphs):  # the helpers had the others
            raise BackendError(
                "this process was forked while its graphs were loaded, and has a part of them; open the bundle after the "
                "fork (docs/streaming.md, Processes)"
            )
        return {graph.name: self._loaded[graph.name] for graph in self._graphs}
