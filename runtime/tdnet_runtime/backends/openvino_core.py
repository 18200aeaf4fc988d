"""OpenVINO's `Core` with its plugin for CPUs loaded, and the calling thread's signal stack as it was.

The plugin (2026.4, x86) gives the thread that loads it a stack of its own for signal handlers. When the last of what it
compiled goes, that memory goes as well, and the thread gets back what it had before only if nobody replaced it since, and
only if it is this thread that lets go. So after two Cores that are closed in the order in which they were opened, or one
that another thread closes, the next signal kills the process: SIGSEGV on Ctrl-C, and nobody says a word.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tdnet_runtime.backends.no_telemetry import import_without_telemetry

__all__ = ["DEVICE", "new_core"]

DEVICE = "CPU"


class _SignalStack(ctypes.Structure):
    """`stack_t` of Linux."""

    _fields_ = (("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def new_core() -> Any:
    """An `openvino.Core` that compiles for CPUs.

    Raises:
        Exception: OpenVINO is not installed, or does not load.
    """
    core = import_without_telemetry("openvino").Core()
    with _same_signal_stack():
        core.get_property(DEVICE, "FULL_DEVICE_NAME")  # loads the plugin
    return core


@contextmanager
def _same_signal_stack() -> Iterator[None]:
    if sys.platform != "linux":
        yield
        return
    libc, before = ctypes.CDLL(None), _SignalStack()
    libc.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        libc.sigaltstack(ctypes.byref(before), None)
