"""The GPU that TensorRT builds on, asked from the driver itself: no CUDA package is needed for it."""

from __future__ import annotations

import ctypes

from tdnet_runtime.errors import ExportError

__all__ = ["compute_capability"]

_DRIVER = "libcuda.so.1"
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR


def compute_capability(index: int = 0) -> str:
    """Compute capability of a device, `8.7`; the first that CUDA_VISIBLE_DEVICES leaves is 0.

    Raises:
        ExportError: no driver, or no device.
    """
    remedy = (
        "TensorRT builds on the GPU that the engines are for; run this there, or use --backend tensorrt-rtx"
    )
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError as error:
        raise ExportError(f"there is no NVIDIA driver here ({error}); {remedy}") from error
    device, values = ctypes.c_int(), (ctypes.c_int(), ctypes.c_int())
    status = driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), index)
    for value, attribute in zip(values, (_MAJOR, _MINOR), strict=True):
        status = status or driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
    if status:
        raise ExportError(f"the NVIDIA driver gives no device {index} (CUDA error {status}); {remedy}")
    return f"{values[0].value}.{values[1].value}"
