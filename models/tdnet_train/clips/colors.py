"""Brightness, contrast and saturation as one affine map of colours, and the network's normalisation after it.

The three are kornia's `adjust_brightness_accumulative`, `adjust_contrast_with_mean_subtraction` and
`adjust_saturation_with_gray_subtraction` (PIL's operations, as in the public training code), in this order, but for what
these cut off at black and white in between: one pass instead of a dozen, and one mean for all frames of a clip.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from tdnet_models.preprocessing import Preprocessing
from tdnet_train.clips.settings import ClipSettings

__all__ = ["color_map", "drawn_factors", "normalised"]

_GRAY = np.array([0.299, 0.587, 0.114])

ColorMap = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""A [3, 3] and b [3] of A·x + b, on R, G, B from 0 to 255."""


def drawn_factors(rng: np.random.Generator, settings: ClipSettings) -> tuple[float, float, float]:
    """Of brightness, contrast and saturation."""
    most = (settings.brightness, settings.contrast, settings.saturation)
    brightness, contrast, saturation = (
        float(1 + share * much) for share, much in zip(rng.uniform(-1, 1, size=3), most, strict=True)
    )
    return brightness, contrast, saturation


def color_map(factors: tuple[float, float, float], *, mean_rgb: npt.NDArray[np.float64]) -> ColorMap:
    """The three factors as one map.

    Args:
        factors: of brightness, contrast and saturation; 1 changes nothing.
        mean_rgb: [3], 0 to 255, of the pixels.
    """
    brightness, contrast, saturation = factors
    gray_mean = brightness * float(_GRAY @ mean_rgb)
    blend = saturation * np.eye(3) + (1 - saturation) * np.tile(_GRAY, (3, 1))
    return blend * (brightness * contrast), blend @ np.full(3, (1 - contrast) * gray_mean)


def normalised(
    frames: torch.Tensor, factors: tuple[float, float, float], preprocessing: Preprocessing
) -> torch.Tensor:
    """Frames with their colours changed, cut off at black and white, as the network takes them.

    Args:
        frames: float32 [N, 3, H, W], R, G, B from 0 to 255; contrast is about the last one's mean grey.
        factors: of brightness, contrast and saturation.
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
