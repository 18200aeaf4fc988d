"""The mark by which a video says how its pictures are turned and mirrored."""

from __future__ import annotations

import math
import struct
from typing import cast

from av.sidedata.sidedata import SideDataContainer, Type
from av.video.frame import VideoFrame

from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.orientation import Orientation

__all__ = ["NO_MATRIX", "display_matrix", "orientation_from_matrix"]

NO_MATRIX = (1.0, 0.0, 0.0, 1.0)


def display_matrix(frame: VideoFrame) -> tuple[float, float, float, float]:
    """(a, b, c, d) of x' = a·x + c·y, y' = b·x + d·y, with x to the right and y down; `NO_MATRIX` without a mark.

    FFmpeg hands the container's mark, or else the one inside the video's own data, to every frame.
    `VideoFrame.rotation` of PyAV (18.1) tells the angle alone and nothing of the mirror.
    """
    try:
        data = cast(SideDataContainer, frame.side_data)[
            Type.DISPLAYMATRIX
        ]  # PyAV 18.1's stub has another type
    except KeyError:
        return NO_MATRIX
    except ValueError:  # PyAV 18.1: one kind of side data that it does not know hides all others
        if frame.rotation:
            raise MediaError(
                "its mark of rotation cannot be read for other side data that this PyAV does not know; remove the "
                "mark or the other data with ffmpeg"
            ) from None
        return NO_MATRIX
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(data))
    return a / 65536, b / 65536, c / 65536, d / 65536


def orientation_from_matrix(matrix: tuple[float, float, float, float]) -> tuple[Orientation, str]:
    """The orientation nearest to a display matrix, and words that tell where it is not exact.

    Raises:
        MediaError: it is nearer to a diagonal than to any quarter turn, or flattens the picture.
    """
    a, b, c, d = matrix
    try:
        orientation = Orientation.from_axes(a, b, c, d)
    except ValueError:
        raise MediaError(
            f"its display matrix turns by {_degrees(a, b):.0f} degrees or flattens the picture "
            f"({a:g} {b:g} {c:g} {d:g}); expected quarter turns and mirrors: remove or correct the mark with "
            "ffmpeg's -display_rotation"
        ) from None
    if abs(a * b) + abs(c * d) > 1e-6:
        return orientation, f"{orientation.words} (nearest to {_degrees(a, b):.1f} degrees)"
    return orientation, orientation.words


def _degrees(a: float, b: float) -> float:
    """Clockwise."""
    return math.degrees(math.atan2(b, a))
