"""Cross-entropy over labelled pixels; over the hard ones alone (OHEM); with weights for the classes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

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
        if self.threshold is None:
            return self._sum(logits, labels) / self._denominator(labels)
        with torch.no_grad():
            losses = torch.cat([self._losses(one, label).flatten() for one, label in _images(logits, labels)])
        at_least = max(int(labels.numel() * self.share), 1)
        counted = hard_pixels(losses, threshold=self.threshold, at_least=at_least)
        kept = labels.where(counted.view_as(labels), IGNORE)
        return self._sum(logits, kept) / counted.sum()

    def _sum(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        def total(one: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
            return self._losses(one, label).sum()

        return torch.stack(
            [_differentiated(total, one, label) for one, label in _images(logits, labels)]
        ).sum()

    def _losses(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        full = resize(logits.float(), (labels.shape[1], labels.shape[2]))
        return F.cross_entropy(full, labels, weight=self.weights, ignore_index=IGNORE, reduction="none")

    def _denominator(self, labels: torch.Tensor) -> torch.Tensor:
        kept = labels != IGNORE
        counted = kept.sum().float() if self.weights is None else self.weights[labels[kept]].sum().float()
        if self.pixels is not None:
            counted = self.pixels(counted)
        return counted.clamp_min(torch.finfo(torch.float32).tiny)


def _images(logits: torch.Tensor, labels: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(zip(torch.split(logits, 1), torch.split(labels, 1), strict=True))


def _differentiated(
    function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], logits: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """The function's scalar; its gradient is taken at once, so that nothing between is kept."""
    if not (torch.is_grad_enabled() and logits.requires_grad):
        return function(logits, labels)
    return _AtOnce.apply(function, logits, labels)  # type: ignore[no-any-return,no-untyped-call]


class _AtOnce(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: Any, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            own = logits.detach().requires_grad_()
            value = function(own, labels)
            (gradient,) = torch.autograd.grad(value, own)
        ctx.save_for_backward(gradient)
        return value.detach()  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, *outer: Any) -> tuple[None, torch.Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return None, gradient * outer[0], None
