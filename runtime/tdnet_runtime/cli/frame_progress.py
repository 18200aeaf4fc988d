"""How far a run over frames is: a bar in a terminal, else a line now and then."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tdnet_runtime.closeable import Closeable

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["FrameProgress"]

_LINE_EVERY_S = 5.0


class FrameProgress(Closeable):
    """Shows frames done, frames per second and the time left; a context manager.

    Args:
        console: to show it on.
        total: frames expected; None where that is not known.
    """

    def __init__(self, console: Console, *, total: int | None) -> None:
        self._console = console
        self._total = total
        self._bar: Progress | None = None
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("segmenting"),
                BarColumn(),
                TextColumn("{task.fields[done]}"),
                TimeRemainingColumn(),
                TextColumn("left"),
                console=console,
                transient=True,
            )
            self._task = self._bar.add_task("", total=total, done="")

    def __enter__(self) -> Self:
        self._begin_s = self._line_s = time.monotonic()
        if self._bar is not None:
            self._bar.start()
        return self

    def close(self) -> None:
        """Take the bar off the terminal."""
        if self._bar is not None:
            self._bar.stop()

    def update(self, frames: int) -> None:
        """Take note that `frames` are done."""
        now_s = time.monotonic()
        per_s = frames / max(now_s - self._begin_s, 1e-9)
        of = "" if self._total is None else f" of {self._total}"
        done = f"{frames}{of} frames, {per_s:.1f} frames/s"
        if self._bar is not None:
            self._bar.update(self._task, completed=frames, done=done)
        elif now_s - self._line_s >= _LINE_EVERY_S:
            self._line_s = now_s
            left = "" if self._total is None else f", {max(self._total - frames, 0) / per_s:.0f} s left"
            self._console.print(f"{done}{left}", soft_wrap=True)
