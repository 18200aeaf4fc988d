"""The distance between the student's classes and the teacher's (spec §1)."""

from __future__ import annotations

import torch

__all__ = ["divergence"]

_EPSILON = 1e-8  # added to both distributions, as in the public code


def divergence(student: torch.Tensor, teacher: torch.Tensor, *, temperature: float = 1.0) -> torch.Tensor:
    """Σ_k T_k·ln(T_k/S_k), the mean over all positions, times temperature².

    The paper writes KL(S‖T); the public code (`KLDive_loss` of Training/ptsemseg/models/td*/) takes the teacher as the
    target, as here: the sum is weighted by the teacher's probabilities. All positions count, labelled or not.

    Args:
        student: logits [N, K, h, w], at the features' size.
        teacher: logits of the same shape; no gradient goes there.
        temperature: both logits are divided by it; 1 in the public code.

    Returns:
        Scalar.
    """
    target = (teacher.detach().float() / temperature).softmax(1) + _EPSILON
    ours = (student.float() / temperature).softmax(1) + _EPSILON
    return (target * (target / ours).log()).sum(1).mean() * temperature**2
