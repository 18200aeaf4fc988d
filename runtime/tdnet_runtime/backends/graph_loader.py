"""A bundle's graphs, loaded by several threads at once: most of the time from a process's start to its first mask.

ONNX Runtime 1.32 and OpenVINO 2026.4 let go of Python's lock while they load a graph, each on one core; reading a
member and hashing it goes on beside it.
"""

from __future__ import annotations

import ctypes
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from tdnet_runtime.bundle import Bundle
from tdnet_runtime.errors import BackendError
from tdnet_runtime.forks import starting_engine
from tdnet_runtime.manifest import GraphSpec

__all__ = ["GraphLoader"]

Loaded = TypeVar("Loaded")

_MOST = 2  # each holds a graph's bytes and up to three copies of its weights meanwhile
_MUCH_BYTES = 64 << 20  # of graphs, whose copies are worth a few milliseconds
_give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's own


class GraphLoader(Generic[Loaded]):
    """Loads all graphs of one precision.

    Args:
        bundle: what it reads from; with nothing left unread afterwards.
        precision: of the graphs.
        load: makes of a graph and its bytes what is to be kept; called by several threads.
        threads: that the engine computes with: a limit for loading, too.

    Attributes:
        helpers: threads beside the calling one.
    """

    def __init__(
        self, bundle: Bundle, precision: str, load: Callable[[GraphSpec, bytes], Loaded], *, threads: int
    ) -> None:
        self._bundle = bundle
        self._precision = precision
        self._load = load
        self._graphs: Sequence[GraphSpec] = bundle.manifest.at(precision).graphs
        self._waiting = deque(enumerate(self._graphs))
        self._loaded: dict[str, Loaded] = {}
        self._errors: dict[int, BaseException] = {}
        self.helpers = min(threads, len(self._graphs), _MOST) - 1

    def run(self) -> dict[str, Loaded]:
        """All of them by name, in the manifest's order; to be called once.

        Raises:
            BackendError: this is a child that its process forked meanwhile.
            BaseException: what `load`, `Bundle.read` and `Bundle.verify` raise; of several, what the first graph in order
                met. No other graph is begun after the first error, and no thread is left running.
        """
        helpers = [
            threading.Thread(target=self._help, name="tdnet-graph-loader") for _ in range(self.helpers)
        ]
        started: list[threading.Thread] = []
        try:
            for helper in helpers:
                try:
                    helper.start()
                except RuntimeError:  # the system gives no more: it takes longer
                    break
                started.append(helper)
            self._work()
        finally:
            self._waiting.clear()
            for helper in started:
                helper.join()
        if _give_back is not None and self._size() >= _MUCH_BYTES:
            _give_back(
                0
            )  # glibc keeps what was freed: more than a third of the memory after td4-psp18 was loaded
        if self._errors:
            raise self._errors[min(self._errors)]
        if len(self._loaded) < len(self._graphs):  # the helpers had the others
            raise BackendError(
                "this process was forked while its graphs were loaded, and has a part of them; open the bundle after the "
                "fork (docs/streaming.md, Processes)"
            )
        return {graph.name: self._loaded[graph.name] for graph in self._graphs}

    def _size(self) -> int:
        members = self._bundle.manifest.members
        return sum(members[graph.members[self._precision]].size for graph in self._graphs)

    def _work(self) -> None:
        """One thread's share: graphs while there are some, then members that no graph is in."""
        index = len(self._graphs)
        try:
            while self._waiting and not self._errors:
                try:
                    index, graph = self._waiting.popleft()
                except IndexError:
                    break  # another thread was faster
                data = self._bundle.read(graph.members[self._precision])
                self._loaded[graph.name] = self._load(graph, data)
                del data  # not to be held while the next one is read
            index = len(self._graphs)
            if not self._errors:
                self._bundle.verify()
        except BaseException as error:
            self._errors.setdefault(index, error)

    def _help(self) -> None:
        """As `_work`, in a thread of which forks are to know as of the caller's (see `open_backend`)."""
        try:
            with starting_engine():
                self._work()
        except BackendError as error:  # forked meanwhile
            self._errors.setdefault(len(self._graphs), error)
