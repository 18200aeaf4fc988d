"""How far a run over frames is."""

from __future__ import annotations

from rich.console import Console
from rich.progress import TextColumn, TimeRemainingColumn

from tdnet_runtime.cli.progress_line import ProgressLine

__all__ = ["FrameProgress"]


class FrameProgress(ProgressLine):
    """Shows frames done, frames per second and the time left; a context manager.

    Args:
        console: to show it on.
        total: frames expected; None where that is not known.
    """

    def __init__(self, console: Console, *, total: int | None) -> None:
        super().__init__(console, TimeRemainingColumn(), TextColumn("left"), total=total)
        self._total = total

    def update(self, frames: int) -> None:
        """Take note that `frames` are done."""
        passed_s = self.passed_s()
        per_s = frames / passed_s
        of = "" if self._total is None else f" of {self._total}"
        left = (
            f", {max(self._total - frames, 0) / per_s:.0f} s left"
            if self._total is not None and frames
            else ""
        )
        self.show(
            f"{frames}{of} frames, {per_s:.1f} frames/s", passed_s=passed_s, completed=frames, behind=left
        )
