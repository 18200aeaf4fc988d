"""How far a run over many inputs is."""

from __future__ import annotations

from rich.console import Console

from tdnet_runtime.cli.progress_line import ProgressLine

__all__ = ["BatchProgress", "duration"]


class BatchProgress(ProgressLine):
    """Shows inputs done, frames per second over all workers and the time left; a context manager.

    The time left is that of the bytes of the inputs that are not done, at the pace of those that were done in this run.

    Args:
        console: to show it on.
        inputs: how many there are, of so many bytes in all.
    """

    def __init__(self, console: Console, *, inputs: int, size_bytes: int) -> None:
        self._inputs, self._bytes = inputs, max(size_bytes, 1)
        self._done = self._done_bytes = self._frames = self._skipped_bytes = 0
        super().__init__(console, total=self._bytes)

    def finished(self, *, size_bytes: int, frames: int, skipped: bool) -> None:
        """One input is done, has failed, or was done before."""
        self._done += 1
        self._done_bytes += size_bytes
        if skipped:
            self._skipped_bytes += size_bytes
        else:
            self._frames += frames

    def update(self, *, at_hand: int, workers: int) -> None:
        """Show it, with so many frames segmented in the jobs at hand."""
        passed_s = self.passed_s()
        told = self._told(passed_s, at_hand=at_hand, workers=workers)
        self.show(told, passed_s=passed_s, completed=self._done_bytes)

    def _told(self, passed_s: float, *, at_hand: int, workers: int) -> str:
        frames = self._frames + at_hand
        told = (
            f"{self._done} of {self._inputs} inputs, {frames} frames, {frames / passed_s:.1f} frames/s, "
            f"{workers} worker{'s' * (workers != 1)}"
        )
        worked_bytes = self._done_bytes - self._skipped_bytes
        if worked_bytes and self._frames:
            # Jobs at hand count by their frames, at the bytes a frame of those that are done.
            worked = worked_bytes + at_hand * worked_bytes / self._frames
            left = max(self._bytes - self._skipped_bytes - worked, 0)
            told += f", {duration(left * passed_s / worked)} left"
        return told


def duration(seconds: float) -> str:
    """`75` → `1 min 15 s`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
