"""What `tdnet-train` does: begin a run, go on with one, or try one out."""

from __future__ import annotations

import shlex
from pathlib import Path

import torch
from rich.console import Console

from tdnet_runtime.backends.cpu_count import usable_cpus
from tdnet_runtime.cli.interrupt import stop_on_interrupt
from tdnet_runtime.errors import OptionError
from tdnet_runtime.extras import one_line
from tdnet_runtime.file_names import same_file
from tdnet_runtime.os_errors import told_as
from tdnet_train.config_file import read_settings, written
from tdnet_train.public_yaml import is_public_yaml, read_public_yaml
from tdnet_train.running.data import looked_through, open_data
from tdnet_train.running.events import Looker
from tdnet_train.running.folder import RunFolder
from tdnet_train.running.ranks import Ranks, joined_ranks
from tdnet_train.running.setup import Setup, prepared, require_own_scale, with_settings
from tdnet_train.running.stage import build_stage
from tdnet_train.running.trainer import Trainer
from tdnet_train.settings import TrainSettings
from tdnet_train.views.page import next_commands, write_page
from tdnet_train.views.terminal import TerminalView, show_setup, show_trials

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
    """Begin the run that `config` describes, in the folder `out`; with `dry_run` only try it."""
    notes: tuple[str, ...] = ()
    if is_public_yaml(config):
        settings, notes = read_public_yaml(config, overrides)
    else:
        settings = read_settings(config, overrides)
    folder = RunFolder(out)
    if not dry_run:
        folder.require_new()
        if same_file(config, folder.config):
            raise OptionError(
                f"--out is the folder of --config, which would be replaced; name another: '{out}'"
            )
    with joined_ranks(settings.run.device) as ranks:
        console.quiet = not ranks.first
        for note in notes:
            _say(console, f"note: {note}")
        setup = _new_setup(settings, ranks, console)
        if dry_run:
            _try(setup, folder, console)
            return
        if ranks.first:
            folder.begin(written(setup.settings))
        ranks.wait()
        _train(setup, folder, console, state=None, tensorboard=tensorboard)


def go_on(folder: Path, console: Console, *, tensorboard: bool = False) -> None:
    """Go on with the run in `folder`, by its own configuration."""
    files = RunFolder(folder)
    with told_as(OptionError, f"--resume {folder}"):
        is_run = files.config.is_file()
    if not is_run:
        raise OptionError(f"--resume {folder}: there is no run in that folder (no {files.config.name})")
    settings = read_settings(files.config)
    with joined_ranks(settings.run.device) as ranks:
        console.quiet = not ranks.first
        _use_threads(settings)
        data = open_data(settings)
        data.require_apart()
        setup = prepared(settings, data, ranks)
        show_setup(setup, console)
        state = files.load_state(ranks.device)
        if ranks.first:
            files.cut_journal(0 if state is None else state["progress"]["step"])
        _train(setup, files, console, state=state, tensorboard=tensorboard)


def _new_setup(settings: TrainSettings, ranks: Ranks, console: Console) -> Setup:
    """All that can be wrong is found here, in the order of what it costs to find."""
    _use_threads(settings)
    require_own_scale(settings.preprocessing)
    data = open_data(settings)
    setup = prepared(settings, data, ranks)
    for index in range(len(settings.stages)):
        build_stage(setup, index)
    console.print("Looking through the data sets ...", highlight=False)
    settings, notes = looked_through(settings, data)
    for note in notes:
        _say(console, f"note: {note}")
    setup = with_settings(setup, settings)
    show_setup(setup, console)
    return setup


def _use_threads(settings: TrainSettings) -> None:
    torch.set_num_threads(settings.run.threads or min(torch.get_num_threads(), usable_cpus()))


def _try(setup: Setup, folder: RunFolder, console: Console) -> None:
    trainer = Trainer(setup, folder)
    show_trials([trainer.trial(index) for index in range(len(setup.settings.stages))], console)


def _train(
    setup: Setup, folder: RunFolder, console: Console, *, state: dict[str, object] | None, tensorboard: bool
) -> None:
    with stop_on_interrupt() as stop, TerminalView(console) as view:
        lookers: list[Looker] = [view]
        if tensorboard and setup.ranks.first:
            from tdnet_train.views.tensorboard import TensorBoardView  # slow, and an optional package

            lookers.append(TensorBoardView(folder.path / "tensorboard"))
        trainer = Trainer(setup, folder, lookers=tuple(lookers), stop=stop)
        if state is not None:
            trainer.go_on_from(state)
        finished = trainer.run()
    if not finished:
        resume = f"tdnet-train --resume {shlex.quote(str(folder.path))}"
        _say(console, f"Stopped at step {trainer.progress.step}; nothing is lost. Go on: {resume}")
        return
    if setup.ranks.first:
        write_page(setup, folder)
        _say(console, f"Done: {folder.page}. Next: {next_commands(setup, folder)[0]}")


def _say(console: Console, line: str) -> None:
    """As it is: brackets and colons in paths are no markup."""
    console.print(one_line(line), highlight=False, soft_wrap=True, markup=False, emoji=False)
