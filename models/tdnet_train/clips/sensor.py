"""What another camera in other light would have made of the same frames: uneven light, blur, noise."""

from __future__ import annotations

from math import ceil, log
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d

from tdnet_train.clips.settings import ClipSettings

__all__ = ["Sensor", "drawn_sensor", "seen_by"]

_LIGHT_HW = (3, 4)
_LEAST_BLUR_PX = 0.1


class Sensor(NamedTuple):
    """A clip's camera and light.

    Attributes:
        light: float64 [3, 4], gains at evenly spaced points of the frame, bilinear between them; None for even light.
        blur_px: standard deviation of a Gaussian, in pixels of the network's input.
        noise: standard deviation of what is added to each value, of 255.
        seed: of the noise.
    """

    light: npt.NDArray[np.float64] | None = None
    blur_px: float = 0.0
    noise: float = 0.0
    seed: int = 0


def drawn_sensor(rng: np.random.Generator, settings: ClipSettings) -> Sensor:
    """Within the settings' limits; half of all clips have no blur, and half no noise. Draws nothing for what is off."""
    light, blur_px, noise, seed = None, 0.0, 0.0, 0
    if settings.shading:
        light = np.exp(rng.uniform(-1, 1, size=_LIGHT_HW) * log(1 + settings.shading))
    if settings.blur_px:
        blur_px = max(0.0, float(rng.uniform(-1, 1))) * settings.blur_px
    if settings.noise:
        noise, seed = max(0.0, float(rng.uniform(-1, 1))) * settings.noise, int(rng.integers(1 << 62))
    return Sensor(light, blur_px, noise, seed)


def seen_by(sensor: Sensor, frames: torch.Tensor) -> torch.Tensor:
    """Frames as that camera has them: light, then blur, then noise that is another one in each frame.

    Args:
        sensor: what to add.
        frames: float32 [N, 3, H, W], 0 to 255.

    Returns:
        The same shape, not cut off at black and white yet; `frames` itself where nothing is added.
    """
    if sensor.light is not None:
        points = torch.from_numpy(sensor.light).to(frames.dtype)[None, None]
        frames = frames * F.interpolate(points, frames.shape[2:], mode="bilinear", align_corners=True)
    if sensor.blur_px >= _LEAST_BLUR_PX:
        side = 2 * ceil(2 * sensor.blur_px) + 1
        frames = gaussian_blur2d(
            frames, (side, side), (sensor.blur_px, sensor.blur_px), border_type="replicate"
        )
    if sensor.noise:
        generator = torch.Generator().manual_seed(sensor.seed)
        frames = frames + sensor.noise * torch.randn(frames.shape, generator=generator)
    return frames
