"""Pictures of an evaluation: the confusion matrix of each side, and the frames that the first one gets worst."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from tdnet_eval.confusion import Confusion, at_size_of
from tdnet_eval.evaluation import JudgedFrame
from tdnet_eval.painting import ClassColors, color_image, disagreement_image
from tdnet_eval.private_caches import use_private_caches
from tdnet_runtime.extras import require
from tdnet_runtime.media.output_folder import OutputFolder
from tdnet_runtime.media.png import encoded_png

__all__ = ["APART", "WorstFrames", "confusion_picture", "frame_picture", "open_folder", "write_pictures"]

Array = npt.NDArray[np.uint8]

APART = 8
"""Frames of a sequence, see `WorstFrames`."""

_GAP_PX = 4
_LABELLED_CELLS = 24  # with more classes the shares in the cells would be unreadable
_INCHES_PER_CLASS = 0.45


def open_folder(folder: Path, *, overwrite: bool) -> OutputFolder:
    """Where pictures are to go: before the run, so that nothing is found out after it.

    Raises:
        MediaError: it cannot be written to, or holds PNGs that are not to be removed.
        MissingExtraError: matplotlib is not installed.
        OptionError: see `use_private_caches`.
    """
    use_private_caches()
    require("matplotlib", extra="eval")
    return OutputFolder(folder, purpose="pictures", overwrite=overwrite, keep_all=True)


@dataclass(slots=True, eq=False)
class WorstFrames:
    """Keeps the labelled frames whose own mIoU by one side is lowest, at most `count`, and of neighbours one alone.

    Neighbours are less than `APART` frames from one another in a sequence, where pictures are much the same.
    """

    side: str
    count: int
    _kept: list[tuple[float, JudgedFrame]] = field(default_factory=list)

    def add(self, frame: JudgedFrame) -> None:
        """Take in the next frame."""
        confusion = frame.judgements[self.side].confusion
        if confusion is None or confusion.miou is None:
            return
        near = [(score, kept) for score, kept in self._kept if _are_neighbours(kept, frame)]
        if any(score <= confusion.miou for score, _ in near):
            return
        kept = [entry for entry in self._kept if entry not in near]
        self._kept = sorted([*kept, (confusion.miou, frame)], key=lambda entry: entry[0])[: self.count]

    @property
    def frames(self) -> list[JudgedFrame]:
        """The worst first."""
        return [frame for _, frame in self._kept]


def _are_neighbours(one: JudgedFrame, other: JudgedFrame) -> bool:
    return one.sequence == other.sequence and abs(one.place - other.place) < APART


def write_pictures(
    output: OutputFolder,
    confusions: Mapping[str, Confusion],
    worst: WorstFrames,
    *,
    names: Sequence[str],
    colors: ClassColors,
) -> None:
    """Write `confusion-SIDE.png` for each side and `worst-1-FRAME.png` and so on.

    Raises:
        MediaError: they cannot be written.
    """
    for side, confusion in confusions.items():
        output.put(f"confusion-{_file_name(side)}.png", confusion_picture(confusion, side=side, names=names))
    for place, frame in enumerate(worst.frames, start=1):
        assert frame.truth is not None  # or it has no score
        image = frame_picture(frame.image, frame.labels[worst.side], frame.truth, colors=colors)
        output.put(f"worst-{place}-{_file_name(frame.name)}.png", encoded_png(image[..., ::-1]))


def frame_picture(image: Array, labels: Array, truth: Array, *, colors: ClassColors) -> Array:
    """The frame, its label image, its labels, and in dim grey with marks where these are wrong; in two rows.

    Args:
        image: uint8 RGB [H, W, 3].
        labels: uint8 [H, W].
        truth: uint8 [H', W']; values without a colour are black.
        colors: by class.

    Returns:
        uint8 RGB, a little more than [2·H, 2·W, 3].
    """
    table = (*colors, *[(0, 0, 0)] * (256 - len(colors)))
    expected = at_size_of(truth, labels)
    wrong = (labels != expected) & (expected < len(colors))
    rows = [
        [image, color_image(expected, table)],
        [color_image(labels, table), disagreement_image(image, wrong)],
    ]
    across = np.full((image.shape[0], _GAP_PX, 3), 255, dtype=np.uint8)
    joined = [np.hstack([left, across, right]) for left, right in rows]
    between = np.full((_GAP_PX, joined[0].shape[1], 3), 255, dtype=np.uint8)
    return np.vstack([joined[0], between, joined[1]])


def confusion_picture(confusion: Confusion, *, side: str, names: Sequence[str]) -> bytes:
    """A PNG: for each class of the label images, a row, what share of its pixels was labelled as which."""
    use_private_caches()
    from matplotlib.figure import Figure  # optional, and slow to import

    totals = confusion.counts.sum(1, keepdims=True)
    shares = 100 * confusion.counts / np.maximum(totals, 1)
    inches = 2.5 + _INCHES_PER_CLASS * len(names)
    figure = Figure(figsize=(inches + 0.6, inches), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    shown = axes.imshow(shares, vmin=0, vmax=100, cmap="Blues")
    literal = [name.replace("$", r"\$") for name in names]  # or it would be a formula
    axes.set_xticks(range(len(names)), literal, rotation=90)
    axes.set_yticks(range(len(names)), literal)
    axes.set_xlabel("labelled as")
    axes.set_ylabel("class in the label images")
    axes.set_title(f"{side}: % of each class's pixels".replace("$", r"\$"), fontsize="medium")
    figure.colorbar(shown, shrink=0.7)
    if len(names) <= _LABELLED_CELLS:
        for (row, column), share in np.ndenumerate(shares):
            if totals[row, 0]:
                color = "white" if share > 50 else "black"
                axes.text(
                    column, row, f"{share:.0f}", ha="center", va="center", fontsize="x-small", color=color
                )
    file = BytesIO()
    figure.savefig(file, format="png")
    drawn = cv2.imdecode(np.frombuffer(file.getvalue(), dtype=np.uint8), cv2.IMREAD_COLOR)
    assert drawn is not None  # matplotlib has just written it
    return encoded_png(np.asarray(drawn, dtype=np.uint8))


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.-]+", "_", text).strip("._") or "unnamed"
