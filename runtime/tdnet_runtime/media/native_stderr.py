"""Holding back what C libraries write to file descriptor 2 past all of Python."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Iterator

__all__ = ["held_stderr"]

_WAIT_S = 1.0
"""For another thread's block to end, once for each thread; one that hangs must not hold up the others."""


class _Owner:
    """The one block of the process that may hold descriptor 2, known by its list of lines; and one waited for in vain."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.original: int | None = None
        self.block: list[str] | None = None
        self.stuck: list[str] | None = None

    def begin_child(self) -> None:
        """In a forked child, whose other threads, a block's owner among them, are gone."""
        if self.original is not None:
            os.dup2(self.original, 2)
        self.original = self.block = self.stuck = None
        self.lock = threading.Lock()


_owner = _Owner()
os.register_at_fork(after_in_child=lambda: _owner.begin_child())


@contextlib.contextmanager
def held_stderr(noise: re.Pattern[str] | None = None) -> Iterator[list[str]]:
    """Hold back descriptor 2; written after all when the block ends well, dropped when it raises.

    libpng, libjpeg and OpenCV announce there what the caller is about to report as an error of its own.
    Nothing that another thread writes meanwhile is lost where the block succeeds, but it comes late, so
    keep the block short. Needs no file and no folder. One block at a time: where another thread's does not
    end within a second, or the system gives no descriptors, the block runs without holding anything, and so do the
    next ones, which do not wait again, until that other one has ended.

    Args:
        noise: lines in which it is found are never written.

    Yields:
        A list that holds these lines when the block has ended.
    """
    lines: list[str] = []
    lock, other = _owner.lock, _owner.block
    stuck = other is not None and other is _owner.stuck
    if not lock.acquire(timeout=0 if stuck else _WAIT_S):
        if _owner.block is other:
            _owner.stuck = other
        yield lines
        return
    _owner.block = lines
    try:
        with contextlib.ExitStack() as stack:
            descriptors = _descriptors(stack)
            if descriptors is None:
                yield lines
                return
            original, held = descriptors
            _owner.original = original
            try:
                os.dup2(held, 2)
                yield lines
            finally:
                os.dup2(original, 2)
                _owner.original = None
            _pass_on(held, noise, lines)
    finally:
        if _owner.block is lines:
            _owner.block = _owner.stuck = None
        with contextlib.suppress(RuntimeError):  # a child that was forked in the block has a lock of its own
            lock.release()


def _descriptors(stack: contextlib.ExitStack) -> tuple[int, int] | None:
    """A copy of descriptor 2 and a file in memory, closed with `stack`; None where they cannot be had."""
    try:
        original = os.dup(2)
        stack.callback(os.close, original)
        held = os.memfd_create("stderr")
        stack.callback(os.close, held)
    except (OSError, AttributeError):  # no stderr, no more descriptors, forbidden; a system without it
        return None
    return original, held


def _pass_on(held: int, noise: re.Pattern[str] | None, lines: list[str]) -> None:
    os.lseek(held, 0, os.SEEK_SET)
    with open(held, "rb", closefd=False) as file:
        for line in file:
            text = line.decode(errors="replace").rstrip("\n")
            if noise is not None and noise.search(text):
                lines.append(text)
            else:
                with contextlib.suppress(OSError):
                    os.write(2, line)
