"""The loss of one clip: its terms, weighted and summed (spec §1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tdnet_train.losses.cross_entropy import CrossEntropy
from tdnet_train.losses.dice import dice_loss
from tdnet_train.losses.distillation import divergence
from tdnet_train.networks.clip_network import ClipLogits
from tdnet_train.networks.teacher import TeacherLogits

__all__ = ["Objective", "Weights"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Of the terms; the defaults are the public code's (Training/ptsemseg/models/td4_psp/td4_psp.py, `forward`).

    Attributes:
        cross_entropy: of the recomposed features' classes.
        dice: of the same.
        own: of the sub-network's own output, relative to both.
        auxiliary: of the auxiliary head, likewise.
        alpha: of the divergence of the recomposed features' classes from the whole teacher's.
        beta: of the divergence of the sub-network's own from its group's.
    """

    cross_entropy: float = 1.0
    dice: float = 0.0
    own: float = 0.5
    auxiliary: float = 0.1
    alpha: float = 1.0
    beta: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What is minimised.

    Attributes:
        weights: of the terms.
        cross_entropy: how it is computed.
        temperature: of the distillation.
    """

    weights: Weights
    cross_entropy: CrossEntropy
    temperature: float = 1.0

    def __call__(
        self, logits: ClipLogits, labels: torch.Tensor, teacher: TeacherLogits | None
    ) -> dict[str, torch.Tensor]:
        """The weighted terms by name, scalars, and their sum as `loss`.

        Args:
            logits: of a clip's newest frame.
            labels: int64 [N, H, W] of that frame; 255 is ignored.
            teacher: its logits for that frame; None without distillation.
        """
        weights = self.weights
        terms: dict[str, torch.Tensor] = {}
        outputs = (("", 1.0, logits.recomposed), ("own_", weights.own, logits.own))
        for prefix, share, output in (*outputs, ("auxiliary_", weights.auxiliary, logits.auxiliary)):
            if output is None or not share:
                continue
            if weights.cross_entropy:
                terms[f"{prefix}cross_entropy"] = (
                    share * weights.cross_entropy * self.cross_entropy(output, labels)
                )
            if weights.dice:
                terms[f"{prefix}dice"] = share * weights.dice * dice_loss(output, labels)
        if teacher is not None:
            pairs = (
                ("distillation", weights.alpha, logits.recomposed, teacher.whole),
                ("own_distillation", weights.beta, logits.own, teacher.group),
            )
            for name, weight, student, target in pairs:
                if weight and student is not None and target is not None:
                    terms[name] = weight * divergence(student, target, temperature=self.temperature)
        terms["loss"] = torch.stack([term.float() for term in terms.values()]).sum()
        return terms
