"""Cross-entropy over labelled pixels; over the hard ones alone (OHEM); with weights for the classes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from tdnet_models.blocks import resize

__all__ = ["IGNORE", "CrossEntropy", "hard_pixels"]

IGNORE = 255
"""Label of pixels that no term counts."""


def hard_pixels(losses: torch.Tensor, *, threshold: float, at_least: int) -> torch.Tensor:
    """Which pixels OHEM counts, as the public `OhemCELoss2D` (Training/ptsemseg/loss/loss.py) does.

    With the losses in falling order: where number `at_least` (counted from 0) is above −ln(threshold), all that are above
    it; else the first `at_least`. Ignored pixels have a loss of 0 and may be among the latter.

    Args:
        losses: [n], of each pixel.
        threshold: probability of the right class below which a pixel is hard.
        at_least: pixels that are counted however easy they are; all where there are fewer.

    Returns:
        bool [n].
    """
    hard = losses > -math.log(threshold)
    if int(hard.sum()) > at_least:
        return hard
    hardest = losses.topk(min(at_least, losses.numel())).indices
    return torch.zeros_like(hard).index_fill_(0, hardest, True)


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossEntropy:
    """Of logits at the features' size, upsampled (bilinear, corners aligned) to the labels'.

    Attributes:
        threshold: of OHEM, a probability; None for the mean over all labelled pixels.
        share: of OHEM, the least share of all pixels that is counted (1/16 in the public code).
        weights: [K] of the classes, on the logits' device; None for equal ones.
        pixels: from this rank's count of labelled pixels (or of their weights) to what the sum is divided by: its mean
            over ranks, so that ranks together compute what one process would. OHEM is each rank's own, as in the public
            code.
    """

    threshold: float | None = None
    share: float = 1 / 16
    weights: torch.Tensor | None = None
    pixels: Callable[[torch.Tensor], torch.Tensor] | None = None

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Logits [N, K, h, w] and labels int64 [N, H, W] → scalar.

        A batch without a labelled pixel gives 0, not NaN. The upsampled logits, the largest tensors of a step, are made
        one image at a time, and their gradient right away, so that none of them is kept for the backward pass.
        """
        weights = self._pixel_weights(labels, logits.shape[1])
        if self.threshold is None:
            counted = weights.sum() if self.pixels is None else self.pixels(weights.sum())
            counted = counted.clamp_min(torch.finfo(torch.float32).tiny)
        else:
            with torch.no_grad(), torch.autocast(logits.device.type, enabled=False):
                images = _images(logits, labels, weights)
                losses = torch.cat([_losses(*image)[0].flatten() for image in images])
            at_least = max(int(labels.numel() * self.share), 1)
            hard = hard_pixels(losses, threshold=self.threshold, at_least=at_least)
            weights, counted = weights * hard.view_as(weights), hard.sum()
        sums = [_Sum.apply(*image) for image in _images(logits, labels, weights)]  # type: ignore[no-untyped-call]
        return torch.stack(sums).sum() / counted

    def _pixel_weights(self, labels: torch.Tensor, classes: int) -> torch.Tensor:
        """[N, H, W]: of each pixel's class, 0 where it is ignored."""
        table = torch.zeros(IGNORE + 1, device=labels.device)
        table[:classes] = 1.0 if self.weights is None else self.weights
        return table[labels]


def _images(
    logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor
) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """One by one. PyTorch's upsampling and softmax are slower on channels that are last (2.13, CPU)."""
    parts = (torch.split(x, 1) for x in (logits.contiguous(), labels, weights))
    return list(zip(*parts, strict=True))


def _losses(
    logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Weighted losses [1, 1, H, W], the probabilities [1, K, H, W], the labels' indices [1, 1, H, W].

    A probability that float32 has no room for counts as its smallest number: a loss is 87 at the most.
    """
    rows, columns = (_interpolation(logits, axis, labels.shape[axis - 1]) for axis in (2, 3))
    probabilities = (rows @ (logits.float() @ columns.T)).softmax(1)
    indices = labels.where(labels != IGNORE, 0).unsqueeze(1)
    right = probabilities.gather(1, indices).clamp_min(torch.finfo(torch.float32).tiny)
    return -right.log() * weights.unsqueeze(1), probabilities, indices


def _interpolation(logits: torch.Tensor, axis: int, size: int) -> torch.Tensor:
    """[size, n]: bilinear upsampling of an axis as a matrix. Twice as quick as PyTorch's own on a CPU (2.13)."""
    identity = torch.eye(logits.shape[axis], device=logits.device)
    return resize(identity[None, None], (size, logits.shape[axis]))[0, 0]


class _Sum(torch.autograd.Function):
    """Σ of the weighted losses of one image; the gradient to the logits is made in the forward pass and kept."""

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        with torch.autocast(logits.device.type, enabled=False):
            losses, gradient, indices = _losses(logits, labels, weights)
            if ctx.needs_input_grad[0]:
                gradient.scatter_add_(1, indices, gradient.new_full((), -1.0).expand_as(indices))
                gradient *= weights.unsqueeze(1)
                rows, columns = (_interpolation(logits, axis, labels.shape[axis - 1]) for axis in (2, 3))
                ctx.save_for_backward((rows.T @ (gradient @ columns)).to(logits.dtype))
            return losses.sum()

    @staticmethod
    def backward(ctx: Any, *outer: Any) -> tuple[torch.Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * outer[0].to(gradient.dtype), None, None
