"""One step of the optimiser, and the state that steps change: weights, their average, the loss's scale."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from tdnet_train.clips.batches import Batch
from tdnet_train.errors import TrainingError
from tdnet_train.running.average import Average
from tdnet_train.running.optimizer import map_roughness, set_learning_rate
from tdnet_train.running.precision import Precision
from tdnet_train.running.schedule import learning_rate
from tdnet_train.running.seeds import derived_seed
from tdnet_train.running.setup import Setup
from tdnet_train.running.stage import Stage

__all__ = ["Stepper"]


class Stepper:
    """Makes steps.

    Args:
        setup: what they compute with; its network is trained.
    """

    def __init__(self, setup: Setup) -> None:
        run = setup.settings.run
        self._setup = setup
        self._precision = Precision(run.precision, setup.ranks.device)
        self._network = setup.network.train()
        if run.freeze_norm:
            _freeze_norms(self._network)
        self._average = Average(self._network, run.ema) if run.ema else None

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        """Those that are validated and saved for export: the average's where there is one."""
        return self._network.weights() if self._average is None else self._average.state

    def state(self) -> dict[str, Any]:
        """For a checkpoint; of this object's own tensors."""
        average = self._average
        return {
            "weights": self._network.weights(),
            "average": {} if average is None else average.state,
            "average_updates": 0 if average is None else average.updates,
            "scaler": self._precision.scaler.state_dict(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take what `state` gave."""
        self._network.load_weights(state["weights"])
        if self._average is not None:
            self._average.updates = state["average_updates"]
            for key, value in state["average"].items():
                self._average.state[key].copy_(value)
        self._precision.scaler.load_state_dict(state["scaler"])

    def step(
        self, stage: Stage, batches: Iterator[Batch], *, stage_step: int, step: int
    ) -> tuple[dict[str, float], float]:
        """One step of the optimiser.

        Args:
            stage: whose optimiser and schedule are used.
            batches: `run.accumulate` of them are taken.
            stage_step: steps that were made in the stage.
            step: steps that were made in the run.

        Returns:
            The terms of the loss by name, means over batches and ranks, and the learning rate.

        Raises:
            TrainingError: the loss is no number.
        """
        setup, run, scaler = self._setup, self._setup.settings.run, self._precision.scaler
        rate = learning_rate(stage.settings, stage_step, stage.steps)
        set_learning_rate(stage.optimizer, rate)
        stage.optimizer.zero_grad(set_to_none=True)
        # Dropout's numbers follow from the step, so that no generator's state need be kept.
        torch.manual_seed(derived_seed(run.seed, "step", step, setup.ranks.rank))
        sums: dict[str, torch.Tensor] = {}
        for part in range(run.accumulate):
            path = (stage_step * run.accumulate + part) % self._network.paths + 1
            terms = self._terms(next(batches), path)
            torch.autograd.backward(scaler.scale(terms["loss"] / run.accumulate))
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value.detach() / run.accumulate
        setup.ranks.average_gradients(self._network.parameters())
        scaler.unscale_(stage.optimizer)
        if setup.settings.optimizer.clip_norm:
            nn.utils.clip_grad_norm_(self._network.parameters(), setup.settings.optimizer.clip_norm)
        scaler.step(stage.optimizer)
        scaler.update()
        if self._average is not None:
            self._average.update(self._network)
        values = dict(zip(sums, setup.ranks.mean(torch.stack(list(sums.values()))).tolist(), strict=True))
        if not math.isfinite(values["loss"]):
            raise TrainingError(
                f"the loss is {values['loss']} at step {step} of the run, in stage {stage.name!r}: training diverged; "
                f"lower the learning rate ({rate:.2g}), lengthen the warm-up or set optimizer.clip_norm, and begin again, "
                "with start.checkpoint at the run's best.pth if there is one"
            )
        return values, rate

    def _terms(self, batch: Batch, path: int) -> dict[str, torch.Tensor]:
        setup = self._setup
        frames = batch.frames.to(setup.ranks.device, non_blocking=True)
        labels = batch.labels.to(setup.ranks.device, non_blocking=True)
        with self._precision.forward():
            teacher = None if setup.teacher is None else setup.teacher(frames[:, -1], path)
            terms = setup.objective(self._network(frames, path), labels, teacher)
        smoothness = setup.settings.optimizer.map_smoothness
        if smoothness:
            terms["map_smoothness"] = smoothness * map_roughness(self._network)
            terms["loss"] = terms["loss"] + terms["map_smoothness"]
        return terms


def _freeze_norms(network: nn.Module) -> None:
    """BatchNorms in evaluation mode, for good."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
            module.train = lambda mode=True, module=module: module  # type: ignore[method-assign,misc]
