"""Runs of a comparison in processes of their own, several at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tdnet_runtime.atomic_file import atomic_file
from tdnet_runtime.backends.cpu_count import usable_cpus
from tdnet_train.comparison.member import ASKED
from tdnet_train.comparison.plan import Member
from tdnet_train.config_file import written
from tdnet_train.errors import TrainingError

__all__ = ["Task", "run_all"]

_LOOK_S = 0.1
_OWN_GROUP: dict[str, Any] = (
    {"process_group": 0} if sys.version_info >= (3, 11) else {"preexec_fn": os.setpgrp}
)
"""Not a session of its own, which Linux would schedule beside this one's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A run to be trained and judged.

    Attributes:
        member: the run.
        command: of its process.
    """

    member: Member
    command: Sequence[str]


def run_all(tasks: Sequence[Task], *, jobs: int, stop: Callable[[], bool]) -> Iterator[Member]:
    """Do all of them, `jobs` at once, each after those that it needs; gives each run when it has ended.

    What a process says goes into `log.txt` in its folder. Asked to stop, it lets the processes write their checkpoints
    and ends; so it does when it is closed, or one of them fails.

    Args:
        tasks: those that others need come before them.
        jobs: processes at once; the CPUs are divided among them.
        stop: whether a signal came.

    Raises:
        TrainingError: one of them failed; the message has its last words.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(max(usable_cpus() // jobs, 1))}
    environment["PYTHONSAFEPATH"] = (
        "1"  # a folder named like a package, where the command runs, is none of theirs
    )
    waiting, running = list(tasks), dict[Path, tuple[Task, "subprocess.Popen[bytes]"]]()
    try:
        while (waiting or running) and not stop():
            missing = {task.member.folder for task in waiting} | running.keys()
            for task in [each for each in waiting if not missing & set(each.member.needs)]:
                if len(running) < jobs:
                    waiting.remove(task)
                    running[task.member.folder] = (task, _started(task, environment))
            for task, process in list(running.values()):
                if process.poll() is not None:
                    del running[task.member.folder]
                    if process.returncode == 0:
                        yield task.member
                    elif not stop():
                        raise TrainingError(_last_words(task.member.folder, process.returncode))
            time.sleep(_LOOK_S)
    finally:
        _end([process for _, process in running.values()])


def _started(task: Task, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Its process, in a group of its own: Ctrl-C in the terminal is this process's business, which passes it on."""
    folder = task.member.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(folder / ASKED) as file:
            file.write(written(task.member.settings))
        with (folder / "log.txt").open("ab") as log:
            return subprocess.Popen(
                task.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                **_OWN_GROUP,
            )
    except OSError as error:
        raise TrainingError(f"cannot begin the run in {str(folder)!r}: {error.strerror or error}") from error


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ask them to end, and wait for their checkpoints."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait()


def _last_words(folder: Path, code: int) -> str:
    lines = (folder / "log.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    said = next((line for line in reversed(lines) if line.strip()), "nothing was said")
    return (
        f"a run of the comparison ended with exit code {code}: {said.strip()}; all of it is in "
        f"{str(folder / 'log.txt')!r}. What was trained is kept: mend it, and give the same command again"
    )
