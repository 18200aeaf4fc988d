"""Cityscapes: leftImg8bit or leftImg8bit_sequence, and gtFine."""

from __future__ import annotations

import re
from pathlib import Path

from tdnet_data.dataset import Frame, FrameRef, Sequence
from tdnet_data.file_index import files_by_name
from tdnet_data.kinds import Layout
from tdnet_data.sequencing import sequences_by_name
from tdnet_runtime.errors import DataError

__all__ = ["cityscapes_sequences"]

_IMAGE = "_leftImg8bit"
_SEQUENCES = "leftImg8bit_sequence"
_LABELS = {"_gtFine_labelIds": False, "_gtFine_labelTrainIds": True}
_BEFORE = 19
"""Frames of each snippet before the labelled one, its 20th."""
_PARTS = re.compile(r"(?P<start>.*_)(?P<number>\d{6})")


def cityscapes_sequences(
    root: Path, layout: Layout, split: str, *, single_images: bool
) -> tuple[list[Sequence], bool]:
    """The split's sequences, and whether its labels are train ids; else they are the 34 ids.

    With `leftImg8bit_sequence` a sequence is a snippet whose frames' numbers follow one another; without it, and of
    single images, each labelled frame is one.

    Raises:
        DataError: a frame or its label is missing, or the frame before a labelled one.
    """
    labels, trained = _labels(root / (layout.labels or ""))
    folder = root / layout.images
    images = files_by_name(folder, (".png",), what="images", ending=_IMAGE)
    if not images:
        raise DataError(f"opening a data set: no images *{_IMAGE}.png in '{folder}'")
    for name, path in images.items():
        if name not in labels:
            raise DataError(
                f"opening a data set: the frame has no label image in '{root / (layout.labels or '')}': '{path}'"
            )
    clips = root / _SEQUENCES / split
    has_clips = clips.is_dir() and not single_images
    frames = files_by_name(clips, (".png",), what="images", ending=_IMAGE) if has_clips else images
    if has_clips:
        for name in images:
            _check_before(name, frames, clips)
    return [
        Sequence(
            name=name,
            frames=tuple(Frame(name=key, image=FrameRef(frames[key]), label=labels.get(key)) for key in keys),
        )
        for name, keys in sequences_by_name(frames, single_images=not has_clips).items()
    ], trained


def _labels(folder: Path) -> tuple[dict[str, Path], bool]:
    for ending, trained in _LABELS.items():
        found = files_by_name(folder, (".png",), what="label images", ending=ending)
        if found:
            return found, trained
    raise DataError(
        f"opening a data set: no label images ({' or '.join(f'*{ending}.png' for ending in _LABELS)}) in '{folder}'"
    )


def _check_before(name: str, frames: dict[str, Path], clips: Path) -> None:
    """The labelled frame is there, the one before it, and none is missing between those that are."""
    match = _PARTS.fullmatch(name)
    if match is None:
        raise DataError(
            f"opening a data set: expected names of <city>_<sequence>_<frame>{_IMAGE}.png, but one is {name!r}: "
            f"'{clips}'"
        )
    last = int(match["number"])
    numbers = range(max(last - _BEFORE, 0), last + 1)
    there = [f"{match['start']}{number:06d}" in frames for number in numbers]
    first = there.index(True) if True in there else len(there)
    wanted = range(min(first, len(there) - 2), len(there))
    missing = next((numbers[place] for place in wanted if not there[place]), None)
    if missing is not None:
        path = clips / f"{match['start']}{missing:06d}{_IMAGE}.png"
        raise DataError(
            f"opening a data set: a frame is missing of the clip whose last frame, {name!r}, has labels: '{path}'"
        )
