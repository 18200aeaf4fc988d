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
from tdnet_runtime.errors import BackendError

__all__ = ["DEVICE", "new_core"]

DEVICE = "CPU"


class _SignalStack(ctypes.Structure):
    """`stack_t` of Linux."""

    _fields_ = (("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def new_core() -> Any:
    """An `openvino.Core` that compiles for CPUs.

    Raises:
        ImportError: OpenVINO is not installed, or does not load.
        BackendError: its plugin for CPUs is not there, or does not load.
    """
    module = import_without_telemetry("openvino")
    with _same_signal_stack():
        try:
            core = module.Core()
            core.get_property(DEVICE, "FULL_DEVICE_NAME")  # loads the plugin
        except Exception as error:  # RuntimeError, and pybind11's own
            raise BackendError(
                f"OpenVINO cannot compute on this CPU: {' '.join(str(error).split())}; install it again: "
                "pip install --force-reinstall openvino"
            ) from error
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
