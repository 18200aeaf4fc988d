"""The process of one run of a comparison: train it to its end, or go on with it, then judge it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from tdnet_data.opening import open_dataset
from tdnet_eval.private_caches import use_private_caches
from tdnet_runtime.cli.notices import notice_console
from tdnet_train.comparison.scores import SplitScore, keep_scores, kept_scores, score_key, split_score
from tdnet_train.running.folder import RunFolder

__all__ = ["ASKED", "judge", "main", "member_command"]

ASKED = "asked.toml"
"""The configuration as the comparison asks for it, in the run's folder before there is a run."""
_LOOK_S = 1.0


def member_command(
    folder: Path, *, strides: tuple[int, ...], splits: tuple[str, ...], consistent: tuple[str, ...]
) -> list[str]:
    """The command line of a run's process."""
    marked = [f"{split}+" if split in consistent else split for split in splits]
    return [
        sys.executable,
        "-m",
        "tdnet_train.comparison",
        str(folder),
        ",".join(map(str, strides)),
        *marked,
    ]


def main() -> None:
    """`python -m tdnet_train.comparison FOLDER STRIDE,… SPLIT …`; a split with a `+` has its consistency measured."""
    folder, strides, *splits = sys.argv[1:]
    _end_with(os.getppid())
    use_private_caches()
    if not train(Path(folder)):
        return
    for stride in map(int, strides.split(",")):
        for split in splits:
            judge(Path(folder), split.removesuffix("+"), stride=stride, consistency=split.endswith("+"))


def train(folder: Path) -> bool:
    """Train the run in `folder` from where it is; True at its end, False where a signal stopped it.

    A page without `best.pth` (an earlier version wrote weights last, so that a kill could cost them) is no end.
    """
    from tdnet_train.command import go_on, start  # takes seconds: with what has caches, as in `cli`

    console, files = notice_console(width=200), RunFolder(folder)
    if files.page.exists() and files.best.exists():
        return True
    if files.config.exists():
        go_on(folder, console)
    else:
        start(folder / ASKED, folder, (), console)
    return files.page.exists()


def judge(folder: Path, split: str, *, stride: int, consistency: bool = False) -> SplitScore:
    """Scores of the run's `best.pth`, streamed in order; kept beside it, and taken from there the next time."""
    from tdnet_train.config_file import read_settings
    from tdnet_train.running.data import open_data
    from tdnet_train.running.ranks import joined_ranks
    from tdnet_train.running.setup import prepared
    from tdnet_train.running.validation import Validation

    key, scores = score_key(split, stride), kept_scores(folder)
    if key in scores and (scores[key].temporal_consistency is not None or not consistency):
        return scores[key]
    files = RunFolder(folder)
    settings = read_settings(files.config)
    with joined_ranks(settings.run.device) as ranks:
        setup = prepared(settings, open_data(settings), ranks)
        dataset = open_dataset(settings.data, split, beside=settings.used_splits)
        validation = Validation(setup.network, dataset, setup.preprocessing, memory_stride=stride)
        found = validation(files.load_network(files.best), consistency=consistency)
    scores[key] = split_score(found)
    keep_scores(folder, scores)
    return scores[key]


def _end_with(parent: int) -> None:
    """End this process when the comparison's is gone, killed: who begins it again must find nobody in this folder."""

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_S)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=look, daemon=True, name="parent").start()
