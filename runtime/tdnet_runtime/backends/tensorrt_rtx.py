"""TensorRT-RTX 1.7 on the current GPU."""

from __future__ import annotations

from tdnet_runtime.backends.trt_bundle import TrtBackend
from tdnet_runtime.preflight import PREFERRED

__all__ = ["PREFERRED", "open_bundle", "unavailable", "unsuited"]

_BACKEND = TrtBackend(
    name="tensorrt-rtx",
    module="tensorrt_rtx",
    install="install it with: pip install tensorrt-rtx",
)
unavailable, unsuited, open_bundle = _BACKEND.unavailable, _BACKEND.unsuited, _BACKEND.open_bundle
