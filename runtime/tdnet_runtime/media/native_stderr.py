"""Holding back what C libraries write to file descriptor 2 past all of Python."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator

__all__ = ["held_stderr"]


@contextlib.contextmanager
def held_stderr() -> Iterator[None]:
    """Hold back descriptor 2; written after all when the block ends well, dropped when it raises.

    libpng, libjpeg and OpenCV announce there what the caller is about to report as an error of its own.
    Nothing that another thread writes meanwhile is lost where the block succeeds, but it comes late, so
    keep the block short.
    """
    try:
        original = os.dup(2)
    except OSError:  # a daemon without stderr
        yield
        return
    try:
        with tempfile.TemporaryFile() as held:
            os.dup2(held.fileno(), 2)
            try:
                yield
            finally:
                os.dup2(original, 2)
            held.seek(0)
            if text := held.read():
                with contextlib.suppress(OSError):
                    os.write(2, text)
    finally:
        os.close(original)
