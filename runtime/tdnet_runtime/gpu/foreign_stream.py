"""The caller's CUDA stream, in whatever form a library has it."""

from __future__ import annotations

from tdnet_runtime.errors import OptionError

__all__ = ["stream_handle"]

_ATTRIBUTES = ("cuda_stream", "ptr", "handle")
"""Where torch, CuPy and PyCUDA keep the handle, for versions without `__cuda_stream__`."""


def stream_handle(stream: object) -> int:
    """The `CUstream` of a stream, as an integer.

    Args:
        stream: an integer handle, an object with `__cuda_stream__` (cuda-core, torch, CuPy), or a torch,
            CuPy or PyCUDA stream of before that protocol.

    Raises:
        OptionError: it is none of these.
    """
    if isinstance(stream, int) and not isinstance(stream, bool):
        return stream
    protocol = getattr(stream, "__cuda_stream__", None)
    if protocol is not None:
        _, handle = protocol() if callable(protocol) else protocol
        return int(handle)
    for attribute in _ATTRIBUTES:
        handle = getattr(stream, attribute, None)
        if isinstance(handle, int):
            return handle
    raise OptionError(
        f"cuda_stream is a {type(stream).__name__}; expected an object with __cuda_stream__ (torch, CuPy, "
        "cuda-core), a PyCUDA stream, or an integer handle"
    )
