"""What `tdnet-train` does: begin a run, or go on with one."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console

from tdnet_runtime.backends.cpu_count import usable_cpus
from tdnet_runtime.cli.interrupt import stop_on_interrupt
from tdnet_runtime.errors import OptionError
from tdnet_train.config_file import read_settings, written
from tdnet_train.running.events import Looker
from tdnet_train.running.folder import RunFolder
from tdnet_train.running.ranks import Ranks, joined_ranks
from tdnet_train.running.setup import prepared
from tdnet_train.running.trainer import Trainer
from tdnet_train.settings import TrainSettings
from tdnet_train.views.terminal import TerminalView, show_setup

__all__ = ["go_on", "start"]


def start(
    config: Path,
    out: Path,
    overrides: tuple[str, ...],
    console: Console,
    *,
    dry_run: bool = False,
    tensorboard: bool = False,
) -> None:
    """Begin the run that `config` describes, in the folder `out`."""
    settings = read_settings(config, overrides)
    with _joined(settings) as ranks:
        _train(settings, RunFolder(out), ranks, console, new=True, tensorboard=tensorboard)


def go_on(folder: Path, console: Console, *, dry_run: bool = False, tensorboard: bool = False) -> None:
    """Go on with the run in `folder`, by its own configuration."""
    files = RunFolder(folder)
    if not files.config.exists():
        raise OptionError(f"--resume {folder}: there is no run in that folder (no {files.config.name})")
    settings = read_settings(files.config)
    with _joined(settings) as ranks:
        _train(settings, files, ranks, console, new=False, tensorboard=tensorboard)


def _joined(settings: TrainSettings):  # type: ignore[no-untyped-def]
    return joined_ranks(settings.run.device)


def _train(
    settings: TrainSettings,
    folder: RunFolder,
    ranks: Ranks,
    console: Console,
    *,
    new: bool,
    tensorboard: bool,
) -> None:
    torch.set_num_threads(settings.run.threads or min(torch.get_num_threads(), usable_cpus()))
    setup = prepared(settings, ranks)
    state = None
    if new:
        if ranks.first:
            folder.begin(written(settings))
    else:
        state = folder.load_state(ranks.device)
        if ranks.first:
            folder.cut_journal(0 if state is None else state["progress"]["step"])
    if not ranks.first:
        console.quiet = True
    show_setup(setup, console)
    with stop_on_interrupt() as stop, TerminalView(console) as view:
        lookers: list[Looker] = [view]
        if tensorboard and ranks.first:
            from tdnet_train.views.tensorboard import TensorBoardView

            lookers.append(TensorBoardView(folder.path / "tensorboard"))
        trainer = Trainer(setup, folder, lookers=tuple(lookers), stop=stop)
        if state is not None:
            trainer.go_on_from(state)
        finished = trainer.run()
    if finished:
        console.print(f"Done: {folder.best}. Next: tdnet-export --ckpt {folder.best}", soft_wrap=True)
    else:
        console.print(
            f"Stopped at step {trainer.progress.step}. Go on: tdnet-train --resume {folder.path}",
            soft_wrap=True,
        )
