"""Between the camera's frames and the network's size (spec §3): bilinear in, nearest out.

Normalisation is not here: the graphs take uint8 and normalise themselves.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from tdnet_runtime.errors import FrameError
from tdnet_runtime.gpu.frames import is_out_of_reach

__all__ = ["Resizer", "check_frame", "check_out"]

Frame = npt.NDArray[np.uint8]

_MAX_SIDE = 1 << 15  # OpenCV's own limit for resizing


def check_frame(frame: object) -> tuple[int, int]:
    """(H, W) of a frame.

    Raises:
        FrameError: not a C-contiguous uint8 array [H, W, 3].
    """
    if not isinstance(frame, np.ndarray):
        advice = "Convert it with numpy.asarray first."
        if is_out_of_reach(frame):
            advice = (
                "It is not in the CPU's memory: copy it there first, with frame.cpu().numpy() if it is PyTorch's, "
                "cupy.asnumpy(frame) if it is CuPy's, else as its library does it. Frames on the GPU are for the "
                "backends tensorrt and tensorrt-rtx."
            )
        raise FrameError(
            f"push() was given a {type(frame).__name__}; expected a NumPy array, uint8 [H, W, 3], RGB. {advice}"
        )
    if frame.dtype != np.uint8:
        raise FrameError(
            f"push() was given a frame of dtype {frame.dtype}; expected uint8, 0 to 255, not normalised: "
            "the network's own normalisation is inside the graphs"
        )
    if frame.ndim != 3 or frame.shape[2] != 3:
        raise FrameError(
            f"push() was given a frame of shape {list(frame.shape)}; expected [H, W, 3], RGB."
            f"{_shape_hint(frame.shape)}"
        )
    if not frame.flags.c_contiguous:
        raise FrameError(
            f"push() was given a non-contiguous frame (shape {list(frame.shape)}, strides {list(frame.strides)}), "
            "for instance a crop, a flip or BGR turned by [..., ::-1]; pass numpy.ascontiguousarray(frame)"
        )
    height, width = frame.shape[:2]
    if not (1 <= height < _MAX_SIDE and 1 <= width < _MAX_SIDE):
        raise FrameError(
            f"push() was given a frame of {height}x{width}; sides of 1 to {_MAX_SIDE - 1} are possible"
        )
    return height, width


def _shape_hint(shape: tuple[int, ...]) -> str:
    """What such an array often is, and how to turn it into a frame; empty where nobody knows."""
    if len(shape) == 2 or shape[2:] == (1,):
        return " If it is a grey image: repeat it with numpy.repeat(frame.reshape(H, W, 1), 3, axis=2)."
    if shape[2:] == (4,):
        return " If it is RGBA: drop the alpha channel with numpy.ascontiguousarray(frame[..., :3])."
    if len(shape) == 3 and shape[0] == 3:
        return " If its channels come first: numpy.ascontiguousarray(frame.transpose(1, 2, 0))."
    return " If it is a batch: push its frames one by one." if len(shape) == 4 else ""


def check_out(out: object, size_hw: tuple[int, int]) -> None:
    """Raise FrameError unless `out` can take the labels of a frame of `size_hw`."""
    fits = (
        isinstance(out, np.ndarray)
        and out.dtype == np.uint8
        and out.shape == size_hw
        and out.flags.c_contiguous
        and out.flags.writeable
    )
    if not fits:
        what = f"{out.dtype} {list(out.shape)}" if isinstance(out, np.ndarray) else type(out).__name__
        raise FrameError(
            f"push(out=...) was given {what}; expected a writable C-contiguous array, uint8 {list(size_hw)}, "
            "the frame's own size"
        )


class Resizer:
    """Moves frames into the network's buffer and labels out of it.

    Args:
        size_hw: the network's input size.
    """

    def __init__(self, size_hw: tuple[int, int]) -> None:
        self._size_hw = size_hw
        self._cv2: ModuleType | None = None

    def require(self, size_hw: tuple[int, int]) -> None:
        """Make sure that frames of `size_hw` can be taken.

        Raises:
            FrameError: they need resizing and OpenCV is not installed.
        """
        if size_hw == self._size_hw or self._cv2 is not None:
            return
        try:
            import cv2  # only where a frame needs it: the runtime's base is NumPy alone

            _ = cv2.resize
        except (
            ImportError,
            AttributeError,
        ) as error:  # AttributeError: a folder that is left after an uninstall
            height, width = self._size_hw
            raise FrameError(
                f"push() was given a frame of {size_hw[0]}x{size_hw[1]}; without OpenCV ({error}) only the "
                f"network's size, {height}x{width}, can be taken. Install it with: pip install opencv-python-headless"
            ) from error
        self._cv2 = cv2

    def put(self, frame: Frame, image: npt.NDArray[Any]) -> None:
        """Frame [H, W, 3] → network image [h, w, 3]: bilinear without antialiasing, as the public code."""
        if frame.shape[:2] == self._size_hw:
            np.copyto(image, np.asarray(frame))  # a subclass's own functions are not asked
        else:
            assert self._cv2 is not None  # require() came first
            height, width = self._size_hw
            self._cv2.resize(frame, (width, height), dst=image, interpolation=self._cv2.INTER_LINEAR)

    def take(self, labels: npt.NDArray[Any], out: Frame) -> None:
        """Labels or their confidence, network [h, w] → frame [H, W]: nearest, pixel centres aligned."""
        if out.shape == self._size_hw:
            np.copyto(np.asarray(out), labels)
        else:
            assert self._cv2 is not None  # require() came first
            height, width = out.shape
            self._cv2.resize(labels, (width, height), dst=out, interpolation=self._cv2.INTER_NEAREST_EXACT)
