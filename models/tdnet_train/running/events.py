"""What a run tells those who look on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Looker", "StepsDone", "Trial", "Validated"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepsDone:
    """Some steps of the optimiser, and what they came to on average.

    Attributes:
        stage: index of the stage, from 0; `stage_name` what it is called.
        stage_step: steps of the stage so far, of `stage_steps`.
        step: steps of the run so far, of `steps`.
        epoch: of the stage, passes over its clips so far.
        terms: of the loss, means over the steps since the last such event.
        rate: the learning rate of the last step.
        step_s: mean time of a step, in seconds.
        memory_mib: most memory that the process, or the GPU, has used.
    """

    stage: int
    stage_name: str
    stage_step: int
    stage_steps: int
    step: int
    steps: int
    epoch: float
    terms: Mapping[str, float]
    rate: float
    step_s: float
    memory_mib: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Validated:
    """The weights after a step, against the validation split.

    Attributes:
        step: steps of the run so far.
        epoch: of the stage.
        miou: mean over the classes that occur; 0 to 1.
        pixel_accuracy: 0 to 1.
        iou: by class; None of one that does not occur.
        by_path: mIoU of the warm frames by the sub-network that ran.
        best: whether no earlier one was better.
        seconds: that it took.
    """

    step: int
    epoch: float
    miou: float
    pixel_accuracy: float
    iou: Mapping[str, float | None]
    by_path: Mapping[int, float | None]
    best: bool
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a stage will cost.

    Attributes:
        stage: its name.
        steps: of the optimiser.
        steps_per_epoch: likewise.
        step_s: the quickest of a few, in seconds, with the making of its clips.
        memory_mib: see `StepsDone`.
    """

    stage: str
    steps: int
    steps_per_epoch: float
    step_s: float
    memory_mib: float


class Looker(Protocol):
    """Someone who looks on: a terminal, TensorBoard."""

    def stepped(self, event: StepsDone) -> None:
        """Some steps are done."""

    def validated(self, event: Validated) -> None:
        """The weights were validated."""
