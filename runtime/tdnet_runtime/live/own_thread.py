"""A thread of the live layer, which can be waited for more than once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["OwnThread"]


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
        """It is at its end, never began, or asks itself; waits until `time.monotonic()` is that, None: for ever."""
        if self is threading.current_thread() or self.ident is None:
            return True
        if not self.over.wait(None if until_s is None else max(until_s - time.monotonic(), 0)):
            return False
        self.join()
        return True
