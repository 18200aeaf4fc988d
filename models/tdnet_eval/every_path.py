"""Is one sub-network worse than another? Each frame by each of them in turn."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tdnet_eval.evaluation import JudgedFrame, runs_of
from tdnet_eval.tally import Evaluation, Tally
from tdnet_runtime.errors import OptionError

if TYPE_CHECKING:
    from tdnet_data.dataset import DataSet

__all__ = ["EveryPath", "check_every_path", "unjudged_paths", "warm_everywhere"]


def check_every_path(dataset: DataSet, *, paths: int) -> None:
    """Make sure, without running anything, that a labelled frame can be judged by each of m sub-networks.

    Raises:
        OptionError: none has so many frames before it.
    """
    if not any(place >= _first(paths) for _, place in dataset.labelled):
        raise OptionError(
            f"--every-path: no labelled frame of {dataset.name}, split {dataset.split!r}, has {_first(paths)} frames "
            "before it in its sequence, which it takes for every sub-network to run it warm; leave it out"
        )


def unjudged_paths(side: str, found: Evaluation, *, paths: int) -> str | None:
    """A remark where the labelled frames of one pass never fell on some of m sub-networks; None where they did."""
    judged = {path for path, tally in found.by_path.items() if tally.labelled_frames}
    missing = [path for path in range(1, paths + 1) if path not in judged]
    if not judged or not missing:
        return None
    return (
        f"NOT ALL PATHS WERE JUDGED: of {side}, path {', '.join(map(str, missing))} ran no frame with a label image; "
        "--every-path gives each sub-network the same frames"
    )


def _first(paths: int) -> int:
    """Place in a sequence from which on all passes are warm: the last one begins m−1 frames later, and m−1 are cold."""
    return 2 * (paths - 1)


def warm_everywhere(dataset: DataSet, *, paths: int, quick: bool) -> frozenset[tuple[int, int]]:
    """Frames, as (sequence, place), that all m passes run warm: each after m−1 others of the same range of `runs_of`.

    Args:
        dataset: that is streamed.
        paths: m, of the side that has most.
        quick: True where only the ranges that labelled frames need are run, each from a cold start of its own.
    """
    found: set[tuple[int, int]] = set()
    for number, sequence in enumerate(dataset.sequences):
        passes = (
            {
                place
                for run in runs_of(sequence, paths=paths if quick else None, begin=begin)
                for place in run[paths - 1 :]
            }
            for begin in range(paths)
        )
        found.update((number, place) for place in set.intersection(*passes))
    return frozenset(found)


@dataclass(slots=True, eq=False)
class EveryPath:
    """Adds up frames of m passes over a data set that begin each sequence 0, 1 … m−1 frames later.

    A frame counts where all passes run it warm, so that every sub-network is judged by the same frames.

    Attributes:
        warm: frames that count, as (sequence, place); see `warm_everywhere`.
        classes: K.
        tallies: by side and sub-network; what a side of fewer than m does twice counts twice.
    """

    warm: Set[tuple[int, int]]
    classes: int
    tallies: dict[str, dict[int, Tally]] = field(default_factory=dict)

    def add(self, frame: JudgedFrame) -> None:
        """Take in a frame of any pass."""
        if (frame.sequence, frame.place) not in self.warm:
            return
        for side, judgement in frame.judgements.items():
            of_side = self.tallies.setdefault(side, {})
            path = frame.paths[side]
            of_side[path] = of_side.get(path, Tally.nothing(self.classes)).with_frame(judgement)

    def of(self, side: str) -> Mapping[int, Tally]:
        """By sub-network; none where no sequence is long enough."""
        return self.tallies.get(side, {})
