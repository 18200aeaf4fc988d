"""A run on a terminal: what it is, how far it is, when it ends."""

from __future__ import annotations

from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from tdnet_train.running.events import StepsDone, Trial, Validated
from tdnet_train.running.setup import Setup

__all__ = ["TerminalView", "show_setup", "show_trials"]

_NAMES_SHOWN = 3


class TerminalView:
    """A line that moves, and one that stays for each validation; a context manager.

    Args:
        console: where it is drawn; where that is no terminal, each event is a line.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"))
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task: TaskID | None = None
        self._stage = -1

    def __enter__(self) -> TerminalView:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def stepped(self, event: StepsDone) -> None:
        """Move the line."""
        left = _duration((event.stage_steps - event.stage_step) * event.step_s)
        terms = " ".join(f"{name} {value:.3f}" for name, value in event.terms.items())
        text = (
            f"{event.stage_step}/{event.stage_steps} epoch {event.epoch:.1f} {terms} lr {event.rate:.2e} "
            f"{1000 * event.step_s:.0f} ms/step {event.memory_mib:.0f} MiB, {left} left"
        )
        if not self._console.is_terminal:
            self._console.print(f"{event.stage_name} {text}", highlight=False, soft_wrap=True)
            return
        if self._task is None or self._stage != event.stage:
            self._stage = event.stage
            self._task = self._progress.add_task(event.stage_name, total=event.stage_steps, text="")
        self._progress.update(self._task, completed=event.stage_step, text=text)

    def validated(self, event: Validated) -> None:
        """Print the scores."""
        paths = ", ".join(
            f"path {path} {value:.4f}" for path, value in event.by_path.items() if value is not None
        )
        best = ", the best so far" if event.best else ""
        self._console.print(
            f"step {event.step}, epoch {event.epoch:.1f}: mIoU {event.miou:.4f}{best}, pixel accuracy "
            f"{event.pixel_accuracy:.4f}; {paths} ({event.seconds:.0f} s)",
            highlight=False,
            soft_wrap=True,
        )


def show_setup(setup: Setup, console: Console) -> None:
    """Say what is trained, from what, on what."""
    spec, run = setup.network.network.spec, setup.settings.run
    parameters = sum(p.numel() for p in setup.network.parameters())
    lines = [
        f"network      {spec.name}, {spec.classes} classes, {spec.input_size[0]}x{spec.input_size[1]}, "
        f"{parameters / 1e6:.2f} million parameters",
        f"begins with  {setup.taken.source}: {setup.taken.tensors} tensors taken"
        + _listed("; not in it", setup.taken.fresh, bool(setup.taken.tensors))
        + _listed("; not used of it", setup.taken.unused, True),
        f"teacher      {'none' if setup.settings.teacher is None else setup.settings.teacher.checkpoint}",
        f"data         {setup.data.train.description}",
        f"validation   {'none' if setup.data.validation is None else setup.data.validation.description}",
        f"device       {setup.ranks.device}, {run.precision}, {setup.ranks.size} process"
        f"{'es' if setup.ranks.size > 1 else ''}, batch {run.batch} x {run.accumulate}",
    ]
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def show_trials(trials: list[Trial], console: Console) -> None:
    """Say what each stage will cost. Nothing was written."""
    for trial in trials:
        line = (
            f"{trial.stage}: {trial.steps} steps of {1000 * trial.step_s:.0f} ms, an epoch of {trial.steps_per_epoch:.0f} "
            f"steps in {_duration(trial.steps_per_epoch * trial.step_s)}, in all {_duration(trial.steps * trial.step_s)}; "
            f"{trial.memory_mib:.0f} MiB at the most so far"
        )
        console.print(line, highlight=False, soft_wrap=True)
    total_s = sum(trial.steps * trial.step_s for trial in trials)
    console.print(
        f"all stages: {_duration(total_s)}, without validations; nothing was written",
        highlight=False,
        soft_wrap=True,
    )


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _listed(what: str, names: list[str], shown: bool) -> str:
    if not names or not shown:
        return ""
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"{what}: {', '.join(names[:_NAMES_SHOWN])}{more}"
