"""TensorRT 10.3 and later on the current GPU.

It comes from NVIDIA, on a Jetson with JetPack: what a package index has for aarch64 is a server's.
"""

from __future__ import annotations

from tdnet_runtime.backends.trt_bundle import TrtBackend
from tdnet_runtime.preflight import PREFERRED

__all__ = ["BACKEND", "PREFERRED", "open_bundle", "unavailable", "unsuited"]

BACKEND = TrtBackend(
    name="tensorrt",
    module="tensorrt",
    install="install TensorRT's Python package as NVIDIA's documentation says (on a Jetson JetPack 6.1 and later bring it: "
    "python -m venv --system-site-packages), or use the backend tensorrt-rtx",
)
unavailable, unsuited, open_bundle = BACKEND.unavailable, BACKEND.unsuited, BACKEND.open_bundle
