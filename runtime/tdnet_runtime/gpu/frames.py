"""Frames that lie on the GPU: what they must be."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from tdnet_runtime.errors import FrameError

if TYPE_CHECKING:
    from tdnet_runtime.gpu.device import ForeignArray

__all__ = ["check_device_frame", "is_device_frame", "is_out_of_reach", "reject_host_frame"]

_HOST = (1, 3, 11)  # DLPack's kDLCPU; kDLCUDAHost and kDLROCMHost, which are page-locked


def is_device_frame(frame: object) -> bool:
    """True for whatever offers to be read where it lies and is no NumPy array."""
    try:
        offers = hasattr(frame, "__dlpack_device__") or hasattr(frame, "__cuda_array_interface__")
    except Exception:  # a property's own; whoever reads the frame says so
        offers = True
    return offers and not isinstance(frame, np.ndarray)


def is_out_of_reach(frame: object) -> bool:
    """True for an array that says of itself that it lies where the CPU cannot read it."""
    try:
        if hasattr(frame, "__dlpack_device__"):
            return int(frame.__dlpack_device__()[0]) not in _HOST
        return hasattr(frame, "__cuda_array_interface__")
    except Exception:  # whatever a stranger's object raises, where it lies is then not known
        return False


def reject_host_frame(frame: object) -> None:
    """Raise FrameError for an array that says of itself that it lies in the CPU's memory, or fails to say where."""
    try:
        device = getattr(frame, "__dlpack_device__", None)
        kind = None if device is None else int(device()[0])
    except Exception as error:  # a stranger's: of an array that was deleted, say
        raise FrameError(
            f"push() was given a {type(frame).__name__} that does not say where it lies: {error}; expected an array "
            "on the GPU that can still be read, or a NumPy array"
        ) from error
    if kind in _HOST:
        raise FrameError(
            f"push() was given a {type(frame).__name__} in the CPU's memory; expected a NumPy array there. "
            "Pass numpy.asarray(frame), which copies nothing."
        )


def check_device_frame(frame: ForeignArray, size_hw: tuple[int, int], device_id: int) -> None:
    """Raise FrameError unless `frame` is uint8 [H, W, 3] of the network's size, contiguous, on this GPU."""
    if frame.device_id != device_id:
        where = "that no GPU can read" if frame.device_id < 0 else f"on GPU {frame.device_id}"
        raise FrameError(
            f"push() was given a frame {where}; the stream runs on GPU {device_id}. Copy it there first."
        )
    if frame.dtype != np.uint8:
        raise FrameError(
            f"push() was given a frame of dtype {frame.dtype} on the GPU; expected uint8, 0 to 255, not "
            "normalised: the network's own normalisation is inside the graphs"
        )
    expected = (*size_hw, 3)
    if frame.shape != expected:
        raise FrameError(
            f"push() was given a frame of shape {list(frame.shape)} on the GPU; expected {list(expected)}, RGB: "
            "frames on the GPU are not resized. Resize it there, or pass it as a NumPy array."
        )
    if frame.strides is not None and frame.strides != _row_major(expected):
        raise FrameError(
            f"push() was given a non-contiguous frame on the GPU (strides {list(frame.strides)} elements), for "
            "instance channels-first data or a crop; make it contiguous first"
        )


def _row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))
