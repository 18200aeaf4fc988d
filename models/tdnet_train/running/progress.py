"""Where a run is: stage, step, best score; what `resume.pth` keeps of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Progress"]


@dataclass(slots=True)
class Progress:
    """Where a run is.

    Attributes:
        stage: index of the stage that goes on; their number when all are done.
        stage_step: steps of the optimiser done in it.
        step: steps of the run.
        best: mIoU of `best.pth`; −1 before the first validation.
        window: sums of the loss's terms since the last line of the journal.
        window_steps: steps of `window`.
        seconds: that the steps of `window` took.
    """

    stage: int = 0
    stage_step: int = 0
    step: int = 0
    best: float = -1.0
    window: dict[str, float] = field(default_factory=dict)
    window_steps: int = 0
    seconds: float = 0.0

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return asdict(self)

    def add(self, terms: dict[str, float], seconds: float) -> None:
        """One step is done."""
        self.stage_step += 1
        self.step += 1
        self.seconds += seconds
        self.window_steps += 1
        for name, value in terms.items():
            self.window[name] = self.window.get(name, 0.0) + value

    def take_window(self) -> dict[str, float]:
        """Means of the terms since the last time."""
        means = {name: value / self.window_steps for name, value in self.window.items()}
        self.window, self.window_steps, self.seconds = {}, 0, 0.0
        return means
