"""A progress display on the terminal that stays out of the timed calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from tdnet_bench.sides.side import Phase, Tick

__all__ = ["progress_bars"]


@contextmanager
def progress_bars() -> Iterator[Phase]:
    """A bar on stderr for each phase, with the time left; nothing where stderr is no terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:<24}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    progress = Progress(
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
        auto_refresh=False,  # its thread would draw in the middle of timed calls
    )

    @contextmanager
    def phase(description: str, frames: int) -> Iterator[Tick]:
        task = progress.add_task(description, total=frames)

        def tick() -> None:
            progress.advance(task)
            progress.refresh()

        progress.refresh()
        yield tick
        progress.update(task, total=progress.tasks[task].completed)

    with progress:
        yield phase
