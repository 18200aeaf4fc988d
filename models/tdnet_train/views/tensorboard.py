"""A run's curves for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tdnet_runtime.extras import require
from tdnet_train.running.events import StepsDone, Validated

__all__ = ["TensorBoardView"]


class TensorBoardView:
    """Writes event files.

    Args:
        folder: that TensorBoard is to be pointed at.

    Raises:
        MissingExtraError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        require("tensorboard", extra="train")
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder))

    def stepped(self, event: StepsDone) -> None:
        """Write the loss's terms and the learning rate."""
        for name, value in {**event.terms, "learning_rate": event.rate, "step_s": event.step_s}.items():
            self._writer.add_scalar(f"train/{name}", value, event.step)
        self._writer.flush()

    def validated(self, event: Validated) -> None:
        """Write the scores."""
        scores = {"miou": event.miou, "pixel_accuracy": event.pixel_accuracy}
        scores |= {f"iou/{name}": value for name, value in event.iou.items() if value is not None}
        for name, value in scores.items():
            self._writer.add_scalar(f"validation/{name}", value, event.step)
        self._writer.flush()
