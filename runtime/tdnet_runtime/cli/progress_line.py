"""How far a run is: a bar in a terminal, else a line now and then."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn

from tdnet_runtime.closeable import Closeable

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ProgressLine"]

_LINE_EVERY_S = 5.0


class ProgressLine(Closeable):
    """What was done and what is told of it; a context manager.

    Args:
        console: to show it on.
        columns: of the bar, behind what is told.
        total: what will be done; None where that is not known.
    """

    def __init__(self, console: Console, *columns: ProgressColumn, total: float | None) -> None:
        self._console = console
        self._bar: Progress | None = None
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("segmenting"),
                BarColumn(),
                TextColumn("{task.fields[told]}"),
                *columns,
                console=console,
                transient=True,
            )
            self._task = self._bar.add_task("", total=total, told="")

    def __enter__(self) -> Self:
        self._begin_s, self._line_s = time.monotonic(), 0.0
        if self._bar is not None:
            self._bar.start()
        return self

    def close(self) -> None:
        """Take the bar off the terminal."""
        if self._bar is not None:
            self._bar.stop()

    def passed_s(self) -> float:
        """Since the beginning; never 0."""
        return max(time.monotonic() - self._begin_s, 1e-9)

    def show(self, told: str, *, passed_s: float, completed: float, behind: str = "") -> None:
        """Show it; a line ends with what is `behind`, for which a bar has its columns."""
        if self._bar is not None:
            self._bar.update(self._task, completed=completed, told=told)
        elif passed_s - self._line_s >= _LINE_EVERY_S:
            self._line_s = passed_s
            self._console.print(f"{told}{behind}", soft_wrap=True)
