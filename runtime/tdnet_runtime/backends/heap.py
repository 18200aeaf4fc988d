"""The C library's heap: what was freed in it, and is still held."""

from __future__ import annotations

import contextlib
import ctypes

__all__ = ["give_back"]

_MUCH_BYTES = 64 << 20  # of graphs, whose copies are worth a few milliseconds


def give_back(freed: int = _MUCH_BYTES) -> None:
    """Return to the system what is free and still held, where the library knows how (glibc); elsewhere do nothing.

    Graphs are thousands of blocks between others that stay: more than a third of the memory after td4-psp18 was loaded in
    ONNX Runtime, two thirds after it was closed, and 0.5 GB in the middle of its export. OpenVINO gives back by itself
    what it closes.

    Args:
        freed: bytes of the graphs that are gone; nothing is done for a few.
    """
    if freed >= _MUCH_BYTES:
        with contextlib.suppress(AttributeError, OSError, TypeError):  # not glibc; Windows
            ctypes.CDLL(None).malloc_trim(0)
