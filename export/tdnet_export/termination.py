"""SIGTERM and SIGHUP unwind an export like Ctrl-C does; its child processes end with it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from tdnet_runtime.signals import command_runs

__all__ = ["end_with", "sigterm_as_exit"]

_PR_SET_PDEATHSIG = 1


@contextlib.contextmanager
def sigterm_as_exit() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise SystemExit in the block, so that processes end, and temporary files go.

    Inside of a command they raise KeyboardInterrupt, whose exit code is the command's business (`launch`). Signal
    handlers belong to the main thread; in others nothing is changed.
    """
    if command_runs() or threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    handled = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, leave) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_with(parent: int) -> None:
    """Die when the process `parent`, which started this one, does; on Linux only."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit(1)  # it died before it could be watched
