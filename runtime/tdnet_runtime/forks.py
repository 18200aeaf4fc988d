"""What a process has open when it forks: in the child it is dead, refuses its use, and is never destroyed.

fork() takes along all memory and one thread, the one that calls it. An engine, decoder or encoder waits for its threads
when it is destroyed (ONNX Runtime 1.32, OpenVINO 2026.4, FFmpeg 8): in the child it would wait for ever. A camera, and a
file's position, are the parent's as well. So the child holds all of it fast, past the interpreter's own end.

Python calls `_in_child` right after a fork of its own. Where C forks without telling it (uWSGI), the number of the process
tells, when something is opened, used or closed, and at the latest at the interpreter's end.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from tdnet_runtime.errors import BackendError, StreamError, TdnetError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ForkBound", "count", "note_gpu", "obstacle_to_gpus", "starting_engine"]

_SPAWN = "start processes with multiprocessing.get_context('spawn')"


class _Process:
    """What is known of this process and of those that it was forked from."""

    pid = os.getpid()
    forks = 0
    had_engine = False
    uses_gpu = False
    gpu_lost_in: int | None = None  # the process that used one
    broken_by: int | None = None  # the process that forked while its engines were at work


_live: weakref.WeakValueDictionary[int, ForkBound] = (
    weakref.WeakValueDictionary()
)  # unlike a set, listed at once
_starting: set[threading.Thread] = set()
_held: dict[
    int, tuple[list[ForkBound], bool]
] = {}  # by thread, since several may fork: from right before to right after
_libc = ctypes.CDLL(None)
_kept: list[object] = []
ctypes.pythonapi.Py_IncRef(
    ctypes.py_object(_kept)
)  # which nobody gives back, so that it outlives the interpreter


class ForkBound:
    """Base of what dies in a child that its process forks. Pickling and copying it raises `fork_error`, too.

    Attributes:
        fork_error: what its use in the child raises.
        stranded: this is the child, and `close` must touch nothing.
    """

    fork_error: ClassVar[type[TdnetError]] = StreamError
    _opened_in: int | None = None  # in the child: the process that forked

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """Take note of each object, in all classes alike."""
        _notice_fork()
        self = super().__new__(cls)
        _live[id(self)] = self
        return self

    def __reduce__(self) -> NoReturn:
        raise self.fork_error(
            f"a {type(self).__name__} cannot be copied or sent to another process; send its path, and open it there"
        )

    @property
    def stranded(self) -> bool:
        """See the class."""
        _notice_fork()
        return self._opened_in is not None

    @property
    def busy(self) -> bool:
        """An engine is at work for it, in whatever thread; asked right before a fork."""
        return False

    def require_own_process(self, call: str) -> None:
        """Raise `fork_error` in the child."""
        if self.stranded:
            raise self.fork_error(
                f"{call} was called in process {_Process.pid}; process {self._opened_in} had opened this "
                f"{type(self).__name__} and forked then, which it does not survive. Open it in the process that uses it, "
                f"after the fork; or {_SPAWN} (docs/streaming.md, Processes)"
            )

    def _strand(self, parent: int) -> None:
        if self._opened_in is None:
            self._opened_in = parent


def count() -> int:
    """How often this process, and those that it comes from, were forked since this module was imported."""
    _notice_fork()
    return _Process.forks


@contextmanager
def starting_engine() -> Iterator[None]:
    """An engine is loaded in here.

    Raises:
        BackendError: this process was forked while an engine was loaded or at work, whose own locks may be held for ever.
    """
    _notice_fork()
    if _Process.broken_by is not None:
        raise BackendError(
            f"no engine can be loaded in process {_Process.pid}: process {_Process.broken_by} forked it while another "
            f"thread was inside an engine, whose locks stay locked here. Fork before bundles are opened, or {_SPAWN}"
        )
    _Process.had_engine = True
    me = threading.current_thread()
    _starting.add(me)
    try:
        yield
    finally:
        _starting.discard(me)


def note_gpu() -> None:
    """This process uses a GPU from here on: no child of it can."""
    _Process.uses_gpu = True


def obstacle_to_gpus() -> str | None:
    """Why no GPU can be used in this process, and the fix; None where forks are no reason."""
    _notice_fork()
    if _Process.gpu_lost_in is None:
        return None
    return (
        f"process {_Process.gpu_lost_in} used a GPU and forked this one, and CUDA does not survive that; fork before "
        f"bundles are opened, or {_SPAWN}"
    )


def _open_things() -> tuple[list[ForkBound], bool]:
    """All that there is, and whether an engine is at work."""
    things = [thing for reference in _live.valuerefs() if (thing := reference()) is not None]
    return things, bool(_starting) or any(thing.busy for thing in things)


def _before() -> None:
    """Hold what there is: the interpreter drops other threads' own variables in the child before it calls `_in_child`."""
    _held[threading.get_ident()] = _open_things()


def _in_parent() -> None:
    _held.pop(threading.get_ident(), None)


def _in_child() -> None:
    parent, _Process.pid = _Process.pid, os.getpid()
    _Process.forks += 1
    things, busy = _held.get(threading.get_ident()) or _open_things()
    if busy:
        _Process.broken_by = parent
    if _Process.uses_gpu and _Process.gpu_lost_in is None:
        _Process.gpu_lost_in = parent
    _starting.clear()
    for thing in things:
        _kept.extend((thing, *vars(thing).values()))  # one that goes on in here may let go of its own parts
        thing._strand(parent)
    _held.clear()
    if _Process.had_engine:
        _end_without_destructors()


def _notice_fork() -> None:
    """Do what Python was not asked to do where C forked this process."""
    if os.getpid() != _Process.pid:
        _in_child()


def _end_without_destructors() -> None:
    """After Python's own end, end this process without the libraries', which wait for threads as well.

    ONNX Runtime 1.32 with its telemetry does, even where every session was closed before the fork.
    """
    if hasattr(_libc, "on_exit"):  # not in musl
        _libc.on_exit(_libc._exit, None)  # called with the exit code; the last one registered comes first
        _libc.on_exit(_libc.fcloseall, None)  # writes what C programs have in their buffers


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
atexit.register(_notice_fork)
