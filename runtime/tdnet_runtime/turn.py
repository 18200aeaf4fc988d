"""One thread at a time inside an object's methods; a second one is refused, and no signal handler leaves them shut."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from tdnet_runtime.errors import StreamError
from tdnet_runtime.forks import ForkBound

__all__ = ["TakesTurns", "in_turn"]

_P = ParamSpec("_P")
_R = TypeVar("_R")
_S = TypeVar("_S", bound="TakesTurns")


class TakesTurns(ForkBound):
    """Base of what one thread may be inside of at a time: the methods that are `in_turn`."""

    def __init__(self) -> None:
        self._turn = threading.RLock()
        self._turns = 0  # begun so far
        self._inside = False

    @property
    def busy(self) -> bool:
        """See `ForkBound`."""
        return self._inside

    def _refuse(self, call: str) -> StreamError:
        return StreamError(
            f"{call}() was called while another thread is inside this stream; a stream belongs to one thread "
            "at a time. Open one stream for each camera: they share the weights."
        )


def in_turn(method: Callable[Concatenate[_S, _P], _R]) -> Callable[Concatenate[_S, _P], _R]:
    """A method that raises StreamError where another call is inside the object, and in a forked child.

    A signal handler may raise wherever a function of C or Python was called. So the lock is taken and given back by `with`
    alone, which no handler comes into, and what it guards is a plain variable.
    """
    call = method.__name__.lstrip("_")

    @functools.wraps(method)
    def alone(self: _S, /, *args: _P.args, **options: _P.kwargs) -> _R:
        self.require_own_process(f"{call}()")
        turns = self._turns
        if self._inside:
            raise self._refuse(call)
        with self._turn:
            if self._turns != turns:  # somebody was quicker; this one has waited for the lock
                raise self._refuse(call)
            try:
                self._turns, self._inside = turns + 1, True
                return method(self, *args, **options)
            finally:
                self._inside = False

    return alone
