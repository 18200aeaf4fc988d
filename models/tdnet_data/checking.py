"""Looking through a data set before anything long begins: everything wrong is named, with its file, at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tdnet_data.dataset import IGNORE, Classes, DataSet, Frame
from tdnet_data.mixture import Mixture
from tdnet_data.sequencing import holes
from tdnet_runtime.errors import DataError, TdnetError
from tdnet_runtime.os_errors import told_as

__all__ = ["Findings", "check_apart", "check_dataset"]

_MOST_PROBLEMS = 20
_MOST_FRAMES = 5000
"""Unlabelled frames that are read; of a larger data set's it is only looked whether they are there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What was found.

    Attributes:
        problems: that keep the data set from being trained on, a line each.
        notes: on what is allowed and may still surprise, a line each.
        pixels: int64 [K], how many pixels of each class the label images have.
        ignored: how many are ignored.
        sizes_hw: (H, W) of the frames, each size once.
    """

    problems: tuple[str, ...]
    notes: tuple[str, ...]
    pixels: npt.NDArray[np.int64]
    ignored: int
    sizes_hw: tuple[tuple[int, int], ...]

    def require(self) -> None:
        """Raise DataError with the first problem where there is one."""
        if self.problems:
            more = f" (and {len(self.problems) - 1} more problems)" if len(self.problems) > 1 else ""
            raise DataError(self.problems[0] + more)


@dataclass(slots=True, kw_only=True)
class _Account:
    """What was found so far, of all data sets."""

    pixels: npt.NDArray[np.int64]
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ignored: int = 0
    sizes_hw: dict[tuple[int, int], None] = field(default_factory=dict)

    @property
    def is_full(self) -> bool:
        return len(self.problems) >= _MOST_PROBLEMS


def check_dataset(
    data: DataSet | Mixture, *, reach: int = 0, on_frame: Callable[[], None] = lambda: None
) -> Findings:
    """Read all label images, their frames, and those up to `reach` frames before.

    Args:
        data: one data set, or several that are trained on together.
        reach: of the clips, `ClipSettings.reach`.
        on_frame: called after each frame that was looked at, for showing progress.
    """
    datasets = [data] if isinstance(data, DataSet) else [dataset for dataset, _ in data.parts]
    classes = datasets[0].classes
    account = _Account(pixels=np.zeros(len(classes), np.int64))
    for dataset in datasets:
        _look_through(dataset, reach, account, on_frame)
    if account.is_full:
        account.problems.append(f"there are {_MOST_PROBLEMS} problems, so nobody looked for more")
    elif not account.problems:
        allowed = {name for dataset in datasets for name in dataset.may_be_empty}
        account.problems += _empty_classes(datasets, classes, allowed, account)
    return Findings(
        problems=tuple(account.problems),
        notes=tuple(account.notes),
        pixels=account.pixels,
        ignored=account.ignored,
        sizes_hw=tuple(account.sizes_hw),
    )


def check_apart(train: DataSet | Mixture, other: DataSet) -> None:
    """Raise DataError where a frame of `other` is trained on with its label: a score on it would say nothing."""
    parts = [train] if isinstance(train, DataSet) else [dataset for dataset, _ in train.parts]
    seen = {_place(frame) for dataset in parts for frame in _labelled(dataset)}
    for frame in _labelled(other):
        if _place(frame) in seen:
            raise DataError(
                f"opening data sets: a frame of {other.split!r} of {other.name!r} is trained on as well: {frame.image}"
            )


def _labelled(dataset: DataSet) -> Iterable[Frame]:
    return (dataset.sequences[sequence].frames[frame] for sequence, frame in dataset.labelled)


def _place(frame: Frame) -> tuple[Path, int | None]:
    """However one came to it."""
    return frame.image.path.resolve(), frame.image.index


def _look_through(dataset: DataSet, reach: int, account: _Account, on_frame: Callable[[], None]) -> None:
    frames = dataset.clip_frames(reach)
    reads_all = len(frames) <= _MOST_FRAMES
    if not reads_all:
        account.notes.append(
            f"{dataset.description}: of {len(frames)} frames, those without labels were not read, only looked for"
        )
    wanted = set(frames)
    try:
        dataset.keep(reach)
    except TdnetError as error:
        account.problems.append(str(error))
        return
    blank = 0
    for sequence in dataset.sequences:
        first: tuple[Frame, tuple[int, int]] | None = None
        for frame in sequence.frames:
            if frame not in wanted:
                continue
            if account.is_full:
                return
            try:
                if frame.label is None and not reads_all:
                    _look_for(frame)
                else:
                    height, width, _ = dataset.image(frame).shape
                    size_hw = height, width
                    account.sizes_hw.setdefault(size_hw)
                    first = first or (frame, size_hw)
                    _require_size(frame, size_hw, *first)
                    if frame.label is not None:
                        blank += _count(dataset.labels(frame), frame, size_hw, account)
            except TdnetError as error:
                account.problems.append(str(error))
            on_frame()
    if any(len(sequence.frames) > 1 for sequence in dataset.sequences):
        account.notes += _note_holes(dataset)
    if blank:
        account.notes.append(f"{dataset.description}: {blank} label images are ignored from edge to edge")
    _note_beginnings(dataset, reach, account)


@told_as(DataError, "reading a frame")
def _look_for(frame: Frame) -> None:
    path = frame.image.path
    if not path.is_file() or path.stat().st_size == 0:
        raise DataError(f"reading a frame: there is no file, or it is empty: {frame.image}")


def _require_size(frame: Frame, size_hw: tuple[int, int], first: Frame, first_hw: tuple[int, int]) -> None:
    if size_hw != first_hw:
        raise DataError(
            f"reading a frame: it is {_by(size_hw)} (height x width), {first.image} of the same sequence {_by(first_hw)}; "
            f"one stream has one size: {frame.image}"
        )


def _count(labels: npt.NDArray[np.uint8], frame: Frame, size_hw: tuple[int, int], account: _Account) -> bool:
    """Count the pixels of each class; whether there are none."""
    height, width = labels.shape
    if (height, width) != size_hw:
        raise DataError(
            f"reading labels: the label image is {height}x{width} (height x width), its frame {_by(size_hw)}; size_hw "
            f"brings both to one size: '{frame.label}'"
        )
    counts = np.bincount(labels.ravel(), minlength=IGNORE + 1)
    account.pixels += counts[: len(account.pixels)]
    account.ignored += int(counts[IGNORE])
    return bool(counts[IGNORE] == labels.size)


def _empty_classes(
    datasets: list[DataSet], classes: Classes, allowed: set[str], account: _Account
) -> list[str]:
    where = " and ".join(dataset.description for dataset in datasets)
    stray = sorted(allowed - set(classes.names))
    if stray:
        return [f"may_be_empty has {stray[0]!r}, which is no class: {where}"]
    advice = "name it in may_be_empty, or see whether map, first_id or the names' order is right"
    if len(classes) == 2 and account.ignored:
        advice = 'masks of 0 and 255 need map ("255" = 1), since 255 is ignored'
    return [
        f"looking through the labels: no pixel is {name!r} (class {index}); {advice}: {where}"
        for index, name in enumerate(classes.names)
        if account.pixels[index] == 0 and name not in allowed
    ]


def _note_holes(dataset: DataSet) -> list[str]:
    frames = [frame for each in dataset.sequences for frame in each.frames if frame.image.index is None]
    found = holes(frame.name for frame in frames)
    if not found:
        return []
    (before, after), more = found[0], len(found) - 1
    others = f", and at {more} more places" if more else ""
    return [
        f"{dataset.description}: by their numbers, frames between {before!r} and {after!r} are missing{others}"
    ]


def _note_beginnings(dataset: DataSet, reach: int, account: _Account) -> None:
    early = sum(1 for _, frame in dataset.labelled if frame < reach)
    if early:
        account.notes.append(
            f"{dataset.description}: before {early} labelled frames there are fewer than {reach} frames; their first "
            "one stands for those"
        )


def _by(size_hw: tuple[int, int]) -> str:
    return f"{size_hw[0]}x{size_hw[1]}"
