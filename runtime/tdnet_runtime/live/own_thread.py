"""A thread of the live layer, which can be waited for more than once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["OwnThread"]

_FIRST_LOOK_S, _LOOK_S = 0.001, 0.02


class OwnThread(threading.Thread):
    """A daemon. `is_alive` is not to be asked: Python before 3.13 takes a thread for ended where `join` was interrupted.

    Args:
        work: what it does.
        name: of it.

    Attributes:
        over: it has done it.
    """

    def __init__(self, work: Callable[[], object], *, name: str) -> None:
        super().__init__(target=work, name=name, daemon=True)
        self.over = threading.Event()

    def run(self) -> None:
        """See `Thread`."""
        try:
            super().run()
        finally:
            self.over.set()

    def ended(self, until_s: float | None = None) -> bool:
        """It is at its end, never began, or asks itself; waits until `time.monotonic()` is that, None: for ever.

        It looks now and then: an Event that is waited for has a lock, which the handler of a signal could not take.
        """
        if self is threading.current_thread() or self.ident is None:
            return True
        pause_s = _FIRST_LOOK_S
        while not self.over.is_set():
            left_s = pause_s if until_s is None else min(pause_s, until_s - time.monotonic())
            if left_s <= 0:
                return False
            time.sleep(left_s)
            pause_s = min(2 * pause_s, _LOOK_S)
        self.join()
        return True
