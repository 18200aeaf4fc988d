"""Dice loss: overlap class by class, for classes of few pixels such as cracks."""

from __future__ import annotations

import torch

from tdnet_models.blocks import resize
from tdnet_train.losses.cross_entropy import IGNORE

__all__ = ["dice_loss"]


def dice_loss(logits: torch.Tensor, labels: torch.Tensor, *, smooth: float = 1.0) -> torch.Tensor:
    """1 − the mean over classes of (2·Σpg + s) / (Σp + Σg + s), over all labelled pixels of the batch.

    p is the softmax's probability, g 1 where the label is the class. Classes that no pixel of the batch has are left
    out: their overlap is 0/0.

    Args:
        logits: [N, K, h, w], upsampled here to the labels' size.
        labels: int64 [N, H, W]; 255 is not counted.
        smooth: s, in pixels.

    Returns:
        Scalar; 0 without a labelled pixel.
    """
    full = resize(logits, (labels.shape[1], labels.shape[2])).float()
    kept = labels != IGNORE
    probabilities = full.softmax(1).permute(0, 2, 3, 1)[kept]  # [n, K]
    truth = torch.nn.functional.one_hot(labels[kept], full.shape[1]).to(probabilities.dtype)
    overlap, ours, theirs = (probabilities * truth).sum(0), probabilities.sum(0), truth.sum(0)
    present = theirs > 0
    if not bool(present.any()):
        return full.sum() * 0.0
    score = (2 * overlap + smooth) / (ours + theirs + smooth)
    return 1 - score[present].mean()
