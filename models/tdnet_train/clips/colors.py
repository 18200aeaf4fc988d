"""White balance, brightness, contrast and saturation as one affine map of colours, and the normalisation after it.

White balance is a gain for each channel. The others are kornia's `adjust_brightness_accumulative`,
`adjust_contrast_with_mean_subtraction` and `adjust_saturation_with_gray_subtraction` (PIL's operations, as in the public
training code), in this order, but for what these cut off at black and white in between: one pass instead of a dozen, and
one mean for all frames of a clip.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from tdnet_models.preprocessing import Preprocessing
from tdnet_train.clips.settings import ClipSettings

__all__ = ["Factors", "color_map", "drawn_factors", "normalised"]

_GRAY = np.array([0.299, 0.587, 0.114])

ColorMap = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""A [3, 3] and b [3] of A·x + b, on R, G, B from 0 to 255."""


class Factors(NamedTuple):
    """What a clip's colours are changed by; 1 changes nothing.

    Attributes:
        brightness: of all channels.
        contrast: of the distance from the mean grey.
        saturation: of the distance from the pixel's own grey.
        gains: of R, G and B, before the others.
    """

    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)


def drawn_factors(rng: np.random.Generator, settings: ClipSettings) -> Factors:
    """Within the settings' limits."""
    most = np.array((settings.brightness, settings.contrast, settings.saturation))
    brightness, contrast, saturation = (1 + rng.uniform(-1, 1, size=3) * most).tolist()
    if not settings.white_balance:
        return Factors(brightness, contrast, saturation)
    red, green, blue = (1 + rng.uniform(-1, 1, size=3) * settings.white_balance).tolist()
    return Factors(brightness, contrast, saturation, (red, green, blue))


def color_map(factors: Factors, *, mean_rgb: npt.NDArray[np.float64]) -> ColorMap:
    """All factors as one map.

    Args:
        factors: that change the colours.
        mean_rgb: [3], 0 to 255, of the pixels.
    """
    brightness, contrast, saturation, gains = factors
    gray_mean = brightness * float(_GRAY @ (gains * mean_rgb))
    blend = saturation * np.eye(3) + (1 - saturation) * np.tile(_GRAY, (3, 1))
    return blend * gains * (brightness * contrast), blend @ np.full(3, (1 - contrast) * gray_mean)


def normalised(frames: torch.Tensor, factors: Factors, preprocessing: Preprocessing) -> torch.Tensor:
    """Frames with their colours changed, cut off at black and white, as the network takes them.

    Args:
        frames: float32 [N, 3, H, W], R, G, B from 0 to 255; contrast is about the last one's mean grey.
        factors: that change the colours.
        preprocessing: of the network.

    Returns:
        float32 [N, 3, H, W], channels in the network's order; a new tensor.
    """
    matrix, offset = color_map(factors, mean_rgb=frames[-1].mean((1, 2), dtype=torch.float64).numpy())
    mean, std = (np.array(values) for values in (preprocessing.rgb.mean, preprocessing.rgb.std))
    order = [0, 1, 2] if preprocessing.color_order == "RGB" else [2, 1, 0]
    gain = preprocessing.scale / std
    weight, bias, least, most = (
        torch.from_numpy(np.ascontiguousarray(values[order], np.float32))
        for values in (
            matrix * gain[:, None],
            offset * gain - mean / std,
            -mean / std,
            255 * gain - mean / std,
        )
    )
    mapped = F.conv2d(frames, weight[:, :, None, None], bias)
    return torch.clamp(mapped, least[:, None, None], most[:, None, None], out=mapped)
