"""A progress display on the terminal that stays out of the timed calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

from tdnet_bench.sides.side import Phase, Tick
from tdnet_runtime.cli.notices import notice_console

__all__ = ["progress_bars"]


@contextmanager
def progress_bars() -> Iterator[Phase]:
    """A bar on stderr for each phase, with the time left; nothing where stderr is no terminal."""
    console = notice_console()
    columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
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
