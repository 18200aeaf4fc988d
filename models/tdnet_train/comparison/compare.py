"""`tdnet-train --compare`: all runs of a comparison, then its table."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

import msgspec
from rich.console import Console

from tdnet_data.opening import open_dataset
from tdnet_eval.result_file import write_result
from tdnet_runtime import __version__
from tdnet_runtime.cli.interrupt import stop_on_interrupt
from tdnet_runtime.errors import OptionError
from tdnet_runtime.extras import one_line
from tdnet_runtime.file_names import as_utf8
from tdnet_runtime.os_errors import told_as
from tdnet_train.comparison.crew import Task, run_all
from tdnet_train.comparison.document import document_from, write_document
from tdnet_train.comparison.member import ASKED, member_command
from tdnet_train.comparison.plan import Member, Plan, planned
from tdnet_train.comparison.scores import kept_scores, score_key
from tdnet_train.comparison.settings import ComparisonSettings, read_comparison
from tdnet_train.comparison.tables import markdown_from_document, spread, table_from_document
from tdnet_train.config_file import read_settings
from tdnet_train.errors import TrainingError
from tdnet_train.running.data import open_data

__all__ = ["compare"]


def compare(path: Path, out: Path, overrides: tuple[str, ...], console: Console, *, jobs: int = 1) -> None:
    """Train and judge whatever of the comparison in `path` is not yet in the folder `out`; write its table there.

    Args:
        path: of the comparison's file.
        out: of the runs' folders, and of `NAME.json` and `NAME.md`; other comparisons may use it as well.
        overrides: fields of the configuration, for all runs.
        console: where it is told what happens.
        jobs: runs at once.

    Raises:
        TdnetError: the comparison, its configuration or its data cannot be meant, or a run failed.
    """
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise OptionError(
            "--compare does not go below torchrun, whose ranks would each begin all runs; give --jobs"
        )
    comparison = read_comparison(path)
    plan = planned(path, comparison, out, overrides)
    _require_same(plan)
    _open_all(comparison, plan)
    tasks = _tasks(comparison, plan)
    runs = len(plan.members)
    console.print(f"{comparison.question} {runs} runs, {runs - len(tasks)} of them done", highlight=False)
    begin_s, done = time.monotonic(), 0
    with stop_on_interrupt() as stop:
        for member in run_all(tasks, jobs=jobs, stop=stop):
            done += 1
            left_s = (time.monotonic() - begin_s) / done * (len(tasks) - done)
            console.print(
                f"{runs - len(tasks) + done}/{runs} {member.folder.name}: {_said(member)}, about "
                f"{timedelta(seconds=round(left_s))} left",
                highlight=False,
                soft_wrap=True,
            )
    if done < len(tasks):
        console.print("Stopped; nothing is lost. Go on: the same command", highlight=False, soft_wrap=True)
        return
    document = document_from(as_utf8(path.stem), comparison, plan, overrides=overrides, version=__version__)
    table = out / f"{path.stem}.md"
    write_document(document, table.with_suffix(".json"))
    write_result(markdown_from_document(document).encode(), table, what="the table", option="--out")
    console.print(table_from_document(document), highlight=False, soft_wrap=True, markup=False)
    console.print(f"Done: {one_line(str(table))}", highlight=False, soft_wrap=True, markup=False)


@told_as(TrainingError, "--out")
def _require_same(plan: Plan) -> None:
    """Folders are named after what is no default: raise TrainingError where one has a run of other defaults."""
    for folder, member in plan.members.items():
        if (folder / ASKED).exists() and read_settings(folder / ASKED) != member.settings:
            raise TrainingError(
                f"the folder {str(folder)!r} has a run of other settings than it would get now ({ASKED} in it; of a "
                "version with other defaults?): move it away, or name another --out"
            )


def _open_all(comparison: ComparisonSettings, plan: Plan) -> None:
    """Find what is wrong with the data before anything is trained."""
    seen = set()
    for member in plan.members.values():
        data = msgspec.json.encode((member.settings.data, member.settings.stages))
        if data not in seen:
            seen.add(data)
            open_data(member.settings)
            for split in comparison.splits:
                open_dataset(member.settings.data, split)


def _tasks(comparison: ComparisonSettings, plan: Plan) -> list[Task]:
    """What is not done yet."""
    found = []
    for folder, strides in plan.strides.items():
        scores = kept_scores(folder)
        wanted = [(split, score_key(split, stride)) for split in comparison.splits for stride in strides]
        lacks = [
            split
            for split, key in wanted
            if key not in scores
            or (split in comparison.consistent and scores[key].temporal_consistency is None)
        ]
        if lacks:
            command = member_command(
                folder, strides=strides, splits=comparison.splits, consistent=comparison.consistent
            )
            found.append(Task(member=plan.members[folder], command=command))
    return found


def _said(member: Member) -> str:
    scores = kept_scores(member.folder).items()
    return "; ".join(f"{key}: mIoU {spread([score.miou])}" for key, score in scores)
