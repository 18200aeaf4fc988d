"""The learning rate at each step."""

from __future__ import annotations

import math

from tdnet_train.settings import StageSettings

__all__ = ["learning_rate"]


def learning_rate(stage: StageSettings, step: int, steps: int) -> float:
    """Of step `step` (from 0) of `steps`.

    Up to and with step `warmup_steps` it grows from `warmup_start` to `learning_rate`; then `poly` is
    rate·(1 − (step − warm-up)/(steps − warm-up))^power, as in the public `AdaOptimizer.get_lr`
    (Training/ptsemseg/optimizers/adaoptimizer.py).
    """
    rate, warmup = stage.learning_rate, stage.warmup_steps
    if warmup and step <= warmup:
        if stage.warmup == "linear":
            return stage.warmup_start + (rate - stage.warmup_start) * step / warmup
        return float(stage.warmup_start * (rate / stage.warmup_start) ** (step / warmup))
    done = (step - warmup) / max(steps - warmup, 1)
    if stage.schedule == "constant":
        return rate
    if stage.schedule == "cosine":
        return rate * (1 + math.cos(math.pi * min(done, 1.0))) / 2
    return float(rate * max(1 - done, 0.0) ** stage.power)
