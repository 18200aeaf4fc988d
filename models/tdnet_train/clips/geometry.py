"""From a frame's pixels to the network's: one affine map for all frames of a clip.

Maps are float64 [3, 3] on (x, y, 1), where pixel i covers i to i + 1, so that a bare change of size is the runtime's.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tdnet_train.clips.settings import ClipSettings

__all__ = ["Motion", "drawn_map", "drawn_motion"]

Map = npt.NDArray[np.float64]
Size = tuple[int, int]

_FARTHEST = np.array([math.log(2), 0.5, 0.5])
"""That a simulated camera goes, however many steps it is: the zoom's logarithm, and shares of the sides."""


def drawn_map(rng: np.random.Generator, settings: ClipSettings, *, frame_hw: Size, size_hw: Size) -> Map:
    """Scale, crop or padding, angle and side, drawn at random.

    Args:
        rng: of the clip.
        settings: of the clips.
        frame_hw: (H, W) of the frames.
        size_hw: (H, W) of the network's input.
    """
    scale = float(rng.uniform(*settings.scale))
    choice, place_y, place_x, turn, side = rng.uniform(size=5)
    if settings.scales:
        scale = settings.scales[int(choice * len(settings.scales))]
    base_h, base_w = settings.base_hw or size_hw
    (frame_h, frame_w), (height, width) = frame_hw, size_hw
    # Whole pixels, so that frames at scale 1 are cropped and not blurred.
    top = math.trunc((0.5 + settings.place_rows * (place_y - 0.5)) * (base_h * scale - height))
    left = math.trunc(place_x * (base_w * scale - width))
    map_ = _translation(-left, -top) @ np.diag([base_w * scale / frame_w, base_h * scale / frame_h, 1.0])
    angle = math.radians(settings.rotate * (2 * turn - 1))
    if angle:
        cos, sin = math.cos(angle), math.sin(angle)
        turned = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        map_ = _about(turned, width / 2, height / 2) @ map_
    if side < settings.flip:
        map_ = np.array([[-1.0, 0, width], [0, 1, 0], [0, 0, 1]]) @ map_
    return map_


class Motion:
    """A steady shift and zoom, which stands for a camera's movement where there are no earlier frames."""

    def __init__(self, log_zoom: float, shift_x: float, shift_y: float) -> None:
        self._step = np.array([log_zoom, shift_x, shift_y])

    def before(self, steps: int, *, frame_hw: Size) -> Map:
        """From a frame to what was seen so many steps before it."""
        height, width = frame_hw
        log_zoom, shift_x, shift_y = np.clip(self._step * steps, -_FARTHEST, _FARTHEST).tolist()
        zoomed = np.diag([math.exp(log_zoom), math.exp(log_zoom), 1.0])
        return _translation(shift_x * width, shift_y * height) @ _about(zoomed, width / 2, height / 2)


def drawn_motion(rng: np.random.Generator, settings: ClipSettings) -> Motion:
    """Within the settings' limits."""
    zoom, shift_x, shift_y = rng.uniform(-1, 1, size=3)
    return Motion(
        zoom * settings.simulate_zoom,
        shift_x * settings.simulate_shift,
        shift_y * settings.simulate_shift,
    )


def _translation(x: float, y: float) -> Map:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], dtype=np.float64)


def _about(map_: Map, x: float, y: float) -> Map:
    return _translation(x, y) @ map_ @ _translation(-x, -y)
