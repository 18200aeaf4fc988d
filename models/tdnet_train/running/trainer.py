"""The loop: steps, validations and checkpoints, the same whether the run was interrupted or not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from tdnet_train.clips.batches import Batch
from tdnet_train.errors import TrainingError
from tdnet_train.running.events import Looker, StepsDone, Trial, Validated
from tdnet_train.running.folder import RunFolder
from tdnet_train.running.memory import peak_memory_mib
from tdnet_train.running.progress import Progress
from tdnet_train.running.setup import Setup
from tdnet_train.running.stage import Stage, build_stage
from tdnet_train.running.stepper import Stepper
from tdnet_train.running.validation import build_validation

__all__ = ["Trainer"]

_TRIED_STEPS = 3


class Trainer:
    """Trains a network through the stages of its configuration.

    Args:
        setup: what it computes with.
        folder: the run's files.
        lookers: are told what happens; rank 0's only.
        stop: asked after each step; True ends the run with a checkpoint.

    Attributes:
        progress: where the run is.
    """

    def __init__(
        self,
        setup: Setup,
        folder: RunFolder,
        *,
        lookers: tuple[Looker, ...] = (),
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._setup, self._folder = setup, folder
        self._lookers, self._stop = lookers, stop
        self._stepper = Stepper(setup)
        self._validation = build_validation(setup)
        self.progress = Progress()
        self._optimizer_state: dict[str, Any] | None = None
        self._saved_s = time.monotonic()

    def go_on_from(self, state: dict[str, Any]) -> None:
        """Take up the run where `state`, a checkpoint of `RunFolder`, left it.

        Raises:
            TrainingError: it was made by another number of processes, or of other data.
        """
        ranks, before = self._setup.ranks.size, state.get("ranks", self._setup.ranks.size)
        if ranks != before:
            raise TrainingError(
                f"the run in {str(self._folder.path)!r} has {before} process{'es' if before > 1 else ''}, and now there "
                f"would be {ranks}, with other batches; go on with {before}"
            )
        self._setup.data.require_marks(state.get("data", {}), self._folder)  # an earlier version kept none
        self._stepper.load_state(state)
        self._optimizer_state = state["optimizer"]
        self.progress = Progress(**state["progress"])
        if self._lacks_best():
            self.progress.best = -1.0  # the next one is the best that there is

    def run(self) -> bool:
        """Train to the end; False where it was stopped before.

        Raises:
            TrainingError: the loss is no number.
            TdnetError: an image cannot be read.
        """
        stages = self._setup.settings.stages
        if self.progress.stage == len(stages):
            self._complete()
        while self.progress.stage < len(stages):
            stage = build_stage(self._setup, self.progress.stage)
            if self._optimizer_state is not None:
                stage.optimizer.load_state_dict(self._optimizer_state)
                self._optimizer_state = None
            stopped = self._run_stage(stage)
            finished = self.progress.stage_step >= stage.steps
            if finished:
                self.progress.stage += 1
                self.progress.stage_step = 0
            self._checkpoint(None if finished else stage.optimizer)
            if stopped:
                break
        return self.progress.stage == len(stages)

    def _lacks_best(self) -> bool:
        """Whether validated weights were lost; on the first rank."""
        return self._validation is not None and self.progress.best >= 0 and not self._folder.best.exists()

    def _complete(self) -> None:
        """Write what a finished run lacks of weights.

        An earlier version wrote them after `resume.pth`: a kill between left old ones. And files get lost.
        """
        if self._setup.ranks.any(self._validation is not None and self.progress.best < 0):
            stage = build_stage(self._setup, self.progress.stage - 1)
            self._validate(stage.steps * self._setup.settings.run.accumulate / stage.batches.steps_per_epoch)
        if self._setup.ranks.first:
            self._save_weights()

    def trial(self, index: int) -> Trial:
        """A few steps of stage `index`, to see what they cost; the weights are spoilt by it."""
        stage = build_stage(self._setup, index)
        batches = self._batches(stage)
        times = []
        for _ in range(1 + _TRIED_STEPS):
            begin_s = time.perf_counter()
            self._step(stage, batches)
            times.append(time.perf_counter() - begin_s)
        return Trial(
            stage=stage.name,
            steps=stage.steps,
            steps_per_epoch=stage.batches.steps_per_epoch / self._setup.settings.run.accumulate,
            step_s=min(times[1:]),
            memory_mib=peak_memory_mib(self._setup.ranks.device),
        )

    def _run_stage(self, stage: Stage) -> bool:
        """The stage's steps; True where it was asked to stop."""
        run = self._setup.settings.run
        per_epoch = stage.batches.steps_per_epoch
        validation = self._setup.settings.validation
        every = validation.every_steps or max(round(validation.every_epochs * per_epoch / run.accumulate), 1)
        batches = self._batches(stage)
        while self.progress.stage_step < stage.steps:
            begin_s = time.perf_counter()
            terms, rate = self._step(stage, batches)
            self.progress.add(terms, time.perf_counter() - begin_s)
            done = self.progress.stage_step
            if done % run.log_steps == 0 or done == stage.steps:
                self._log(stage, rate)
            if done % every == 0 or done == stage.steps:
                self._validate(done * run.accumulate / per_epoch)
            if self._setup.ranks.any(self._stop()):
                return True
            due = time.monotonic() - self._saved_s > 60 * run.checkpoint_minutes
            if self._setup.ranks.any(due):
                self._checkpoint(stage.optimizer)
        return False

    def _batches(self, stage: Stage) -> Iterator[Batch]:
        """The stage's batches from where it is, without end."""
        done = self.progress.stage_step * self._setup.settings.run.accumulate
        epoch, begin = divmod(done, stage.batches.steps_per_epoch)
        while True:
            yield from stage.batches.epoch(epoch, begin=begin)
            epoch, begin = epoch + 1, 0

    def _step(self, stage: Stage, batches: Iterator[Batch]) -> tuple[dict[str, float], float]:
        progress = self.progress
        return self._stepper.step(stage, batches, stage_step=progress.stage_step, step=progress.step)

    def _save(self, path: Path, iou: float) -> None:
        half = self._setup.settings.run.half_checkpoints
        self._folder.save_network(path, self._stepper.weights, step=self.progress.step, iou=iou, half=half)

    def _log(self, stage: Stage, rate: float) -> None:
        progress, run = self.progress, self._setup.settings.run
        step_s = progress.seconds / max(progress.window_steps, 1)
        event = StepsDone(
            stage=progress.stage,
            stage_name=stage.name,
            stage_step=progress.stage_step,
            stage_steps=stage.steps,
            step=progress.step,
            steps=progress.step - progress.stage_step + stage.steps,
            epoch=progress.stage_step * run.accumulate / stage.batches.steps_per_epoch,
            terms=progress.take_window(),
            rate=rate,
            step_s=step_s,
            memory_mib=peak_memory_mib(self._setup.ranks.device),
        )
        self._tell("steps", event)

    def _validate(self, epoch: float) -> None:
        progress = self.progress
        if self._validation is not None and self._setup.ranks.first:
            begin_s = time.perf_counter()
            scores = self._validation(self._stepper.weights)
            miou = scores.miou or 0.0
            best = miou > progress.best
            if best:
                progress.best = miou
                self._save(self._folder.best, miou)
            event = Validated(
                step=progress.step,
                epoch=epoch,
                miou=miou,
                pixel_accuracy=scores.pixel_accuracy or 0.0,
                iou=dict(zip(self._setup.data.train.classes.names, scores.iou, strict=True)),
                by_path={path: tally.miou for path, tally in scores.by_path.items()},
                best=best,
                seconds=time.perf_counter() - begin_s,
            )
            self._tell("validation", event)
        self._setup.ranks.wait()

    def _tell(self, kind: str, event: StepsDone | Validated) -> None:
        if not self._setup.ranks.first:
            return
        self._folder.write({"kind": kind, **asdict(event)})
        for looker in self._lookers:
            if isinstance(event, StepsDone):
                looker.stepped(event)
            else:
                looker.validated(event)

    def _checkpoint(self, optimizer: torch.optim.Optimizer | None) -> None:
        """Write what is needed to go on from here; `optimizer` is None between stages.

        `resume.pth` comes last: whatever a kill leaves, a run that goes on from it writes the weights anew.
        """
        self._saved_s = time.monotonic()
        if self._setup.ranks.first:
            self._save_weights()
            self._folder.save_state(
                {
                    **self._stepper.state(),
                    "optimizer": None if optimizer is None else optimizer.state_dict(),
                    "progress": self.progress.state(),
                    "ranks": self._setup.ranks.size,
                    "data": self._setup.data.marks,
                }
            )
        self._setup.ranks.wait()

    def _save_weights(self) -> None:
        """Write `last.pth`; at the end of a run without validation, whose last weights are the best, `best.pth` too."""
        self._save(self._folder.last, max(self.progress.best, 0.0))
        if self._validation is None and self.progress.stage == len(self._setup.settings.stages):
            self._save(self._folder.best, 0.0)
