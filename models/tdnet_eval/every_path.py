"""Is one sub-network worse than another? Each frame by each of them in turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tdnet_eval.evaluation import JudgedFrame
from tdnet_eval.tally import Tally

__all__ = ["EveryPath"]


@dataclass(slots=True, eq=False)
class EveryPath:
    """Adds up frames of m passes over a data set that begin each sequence 0, 1 … m−1 frames later.

    A frame counts where all passes ran it warm, so that every sub-network is judged by the same frames.

    Attributes:
        paths: m, of the side that has most; what a side of fewer does twice counts twice.
        classes: K.
        tallies: by side and sub-network.
    """

    paths: int
    classes: int
    tallies: dict[str, dict[int, Tally]] = field(default_factory=dict)

    def add(self, frame: JudgedFrame) -> None:
        """Take in a frame of any pass."""
        if frame.place < 2 * (self.paths - 1):  # the last pass begins m−1 frames later, and m−1 are cold
            return
        for side, judgement in frame.judgements.items():
            of_side = self.tallies.setdefault(side, {})
            path = frame.paths[side]
            of_side[path] = of_side.get(path, Tally.nothing(self.classes)).with_frame(judgement)

    def of(self, side: str) -> Mapping[int, Tally]:
        """By sub-network; none where no sequence is long enough."""
        return self.tallies.get(side, {})
