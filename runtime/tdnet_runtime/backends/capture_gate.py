"""Many threads may use the GPU, or one of them may capture.

ONNX Runtime captures its CUDA graphs in CUDA's global mode (`cuda_graph.cc`): meanwhile a copy,
an allocation or a wait in any thread of the process fails, and breaks the capture.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["CaptureGate"]


class CaptureGate:
    """Who may use the GPU. Not fair to captures' followers: those that use it wait until no capture is wanted."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._users = 0
        self._capturing: threading.Thread | None = None

    @contextmanager
    def using(self) -> Iterator[None]:
        """Waits while another thread captures, or wants to."""
        me = threading.current_thread()
        with self._changed:
            self._changed.wait_for(lambda: self._capturing in (None, me))
            self._users += 1
        try:
            yield
        finally:
            with self._changed:
                self._users -= 1
                self._changed.notify_all()

    @contextmanager
    def capturing(self) -> Iterator[None]:
        """Waits until no other thread uses the GPU. Not to be entered inside `using`."""
        with self._changed:
            self._changed.wait_for(lambda: self._capturing is None)
            self._capturing = threading.current_thread()
        try:
            with self._changed:
                self._changed.wait_for(lambda: self._users == 0)
            yield
        finally:
            with self._changed:
                self._capturing = None
                self._changed.notify_all()
