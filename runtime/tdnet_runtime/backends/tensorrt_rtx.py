"""TensorRT-RTX 1.7 on the current GPU."""

from __future__ import annotations

from tdnet_runtime.backends.trt_bundle import TrtBackend
from tdnet_runtime.preflight import PREFERRED

__all__ = ["BACKEND", "PREFERRED", "open_bundle", "unavailable", "unsuited"]

BACKEND = TrtBackend(
    name="tensorrt-rtx",
    module="tensorrt_rtx",
    install="install it with: pip install tensorrt-rtx",
)
unavailable, unsuited, open_bundle = BACKEND.unavailable, BACKEND.unsuited, BACKEND.open_bundle
