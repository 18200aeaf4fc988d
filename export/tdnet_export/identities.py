"""Exact rewrites of weights (spec §5), in float64. What they do to graphs: `psp_graph.py`, `apm_graph.py`.

Each holds in real arithmetic; `tests/export/test_identities.py` shows each to 1e-12.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = [
    "attention_scaled",
    "fold_batch_norm",
    "interpolation_matrix",
    "pooling_matrix",
]

Array = npt.NDArray[np.float64]

BATCH_NORM_EPS = 1e-5


def fold_batch_norm(
    weight: Array, bias: Array | None, *, gain: Array, shift: Array, mean: Array, variance: Array
) -> tuple[Array, Array]:
    """A convolution [O, I, kh, kw] and the BatchNorm after it as one convolution.

    Returns:
        Weight of the same shape, bias [O].
    """
    scale = gain / np.sqrt(variance + BATCH_NORM_EPS)
    start = np.zeros_like(mean) if bias is None else bias
    return weight * scale[:, None, None, None], (start - mean) * scale + shift


def pooling_matrix(length: int, bins: int) -> Array:
    """Adaptive average pooling of one axis as a matrix [bins, length].

    Bin i averages positions ⌊i·length/bins⌋ up to ⌈(i+1)·length/bins⌉, so bins overlap where
    `length` does not divide. Pooling of a map x is P_h·x·P_wᵀ.
    """
    matrix = np.zeros((bins, length))
    for index in range(bins):
        start, stop = index * length // bins, -(-(index + 1) * length // bins)
        matrix[index, start:stop] = 1.0 / (stop - start)
    return matrix


def interpolation_matrix(source: int, target: int) -> Array:
    """Bilinear upsampling of one axis, corners aligned, as a matrix [target, source].

    Its rows sum to 1, so a 1×1 convolution (bias included) may be applied before it instead of after.
    """
    if source == 1 or target == 1:
        matrix = np.zeros((target, source))
        matrix[:, 0] = 1.0
        return matrix
    position = np.arange(target) * ((source - 1) / (target - 1))
    left = np.minimum(position.astype(np.int64), source - 2)
    fraction = position - left
    matrix = np.zeros((target, source))
    rows = np.arange(target)
    matrix[rows, left] = 1.0 - fraction
    matrix[rows, left + 1] += fraction
    return matrix


def attention_scaled(weight: Array, bias: Array, *, key_width: int) -> tuple[Array, Array]:
    """The query's last convolution with the attention's 1/√d_k in it (d_k = 64: exactly 1/8)."""
    scale = 1.0 / np.sqrt(key_width)
    return weight * scale, bias * scale
