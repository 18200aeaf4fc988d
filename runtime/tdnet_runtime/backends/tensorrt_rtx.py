"""TensorRT-RTX 1.7 on the current GPU."""

from __future__ import annotations

import importlib
from typing import cast

from tdnet_runtime.backends.trt_bundle import facts_of, load_bundle, missing, no_device, open_device
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.errors import BackendError
from tdnet_runtime.gpu.backend import GpuBackend
from tdnet_runtime.gpu.trt_api import Api
from tdnet_runtime.preflight import PREFERRED, choose_engines

__all__ = ["PREFERRED", "open_bundle", "unavailable", "unsuited"]

_NAME = "tensorrt-rtx"
_MODULE = "tensorrt_rtx"
_INSTALL = "install it with: pip install tensorrt-rtx"


def unavailable() -> str | None:
    """Why TensorRT-RTX cannot be used here; None where it can."""
    return missing(_MODULE, _NAME, _INSTALL) or no_device()


def unsuited(bundle: Bundle, *, precision: str | None) -> str | None:
    """Why the bundle has no engines for this machine; None where it has."""
    try:
        choose_engines(bundle, facts_of(_NAME, _api(), open_device()), precision=precision)
    except BackendError as error:
        return str(error)
    return None


def open_bundle(bundle: Bundle, *, precision: str | None, threads: int | None) -> GpuBackend:
    """Load the bundle's engines; `threads` means nothing here. See `load_bundle`."""
    return load_bundle(bundle, backend=_NAME, api=_api(), device=open_device(), precision=precision)


def _api() -> Api:
    return cast(Api, importlib.import_module(_MODULE))
