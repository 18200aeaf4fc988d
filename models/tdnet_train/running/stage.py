"""One stage of a run: its clips, its optimiser, its length."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tdnet_runtime.errors import OptionError
from tdnet_train.clips.batches import Batches
from tdnet_train.running.optimizer import build_optimizer
from tdnet_train.running.schedule import learning_rate
from tdnet_train.running.seeds import derived_seed
from tdnet_train.running.setup import Setup
from tdnet_train.settings import StageSettings

__all__ = ["Stage", "build_stage", "stage_steps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What a stage trains with.

    Attributes:
        name: for people.
        settings: as configured.
        batches: its clips.
        optimizer: new in each stage.
        steps: of the optimiser, in all.
    """

    name: str
    settings: StageSettings
    batches: Batches
    optimizer: torch.optim.Optimizer
    steps: int


def build_stage(setup: Setup, index: int) -> Stage:
    """Stage `index` of the run; its weights are those of now."""
    settings, run, ranks = setup.settings.stages[index], setup.settings.run, setup.ranks
    batches = Batches(
        setup.data.stages[index],
        settings.clips,
        size_hw=setup.settings.network.size,
        frames=setup.network.paths,
        batch=run.batch,
        seed=derived_seed(run.seed, "clips", index),
        rank=ranks.rank,
        ranks=ranks.size,
        workers=run.workers,
        preprocessing=setup.preprocessing,
    )
    steps = stage_steps(settings, batches.steps_per_epoch, run.accumulate)
    optimizer = build_optimizer(
        setup.network, setup.settings.optimizer, rate=learning_rate(settings, 0, steps)
    )
    name = settings.name or f"stage {index + 1}"
    return Stage(name=name, settings=settings, batches=batches, optimizer=optimizer, steps=steps)


def stage_steps(settings: StageSettings, batches_per_epoch: int, accumulate: int) -> int:
    """Steps of the optimiser in a stage.

    Raises:
        OptionError: neither or both of `steps` and `epochs`, or nothing to do.
    """
    if (settings.steps is None) == (settings.epochs is None):
        raise OptionError("a stage has either steps or epochs; give one of them")
    steps = settings.steps
    if steps is None:
        assert settings.epochs is not None
        steps = round(settings.epochs * batches_per_epoch / accumulate)
    if steps < 1 or settings.warmup_steps >= steps:
        raise OptionError(
            f"a stage has {steps} steps and warms up for {settings.warmup_steps}; expected at least one step after that"
        )
    return steps
