"""Frames and labels as small pictures for a viewer."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from tdnet_runtime.errors import MediaError

__all__ = ["jpeg", "png"]

_QUALITY = 85


def jpeg(rgb: npt.NDArray[np.uint8]) -> bytes:
    """A JPEG of uint8 [H, W, 3], RGB.

    Raises:
        MediaError: OpenCV cannot encode it.
    """
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    return _encoded(".jpg", np.asarray(bgr, np.uint8), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])


def png(labels: npt.NDArray[np.uint8]) -> bytes:
    """A PNG of uint8 [H, W], packed fast.

    Raises:
        MediaError: OpenCV cannot encode it.
    """
    return _encoded(".png", labels, [cv2.IMWRITE_PNG_COMPRESSION, 1])


def _encoded(suffix: str, image: npt.NDArray[np.uint8], options: list[int]) -> bytes:
    ok, data = cv2.imencode(suffix, image, options)
    if not ok:
        raise MediaError(f"writing a picture: OpenCV could not encode {list(image.shape)} as {suffix}")
    return data.tobytes()
