"""Opening a data set: which files are frames, which their labels, and what these mean."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from tdnet_data.cityscapes import cityscapes_sequences
from tdnet_data.dataset import DataSet, Sequence
from tdnet_data.folder_frames import folder_sequences
from tdnet_data.frame_reader import FrameReader
from tdnet_data.kinds import KINDS, KindFacts, Layout
from tdnet_data.layouts import chosen_layout
from tdnet_data.meaning import classes_of, label_reader
from tdnet_data.settings import DataSettings
from tdnet_runtime.errors import DataError, TdnetError
from tdnet_runtime.file_names import as_utf8
from tdnet_runtime.media.frames import reason
from tdnet_runtime.media.images import largest_sample

__all__ = ["open_dataset"]

_USUAL_SPLITS = ("train", "val", "test")


def open_dataset(settings: DataSettings, split: str, *, beside: Iterable[str | None] = ()) -> DataSet:
    """The data set's split called `split`. Looks for its files, and reads none but lists and headers of videos.

    Frames of 16 bits have one depth in all splits, or a dark one would be read brighter than the others: unless
    `bit_depth` states it, it is what the brightest of a few frames of each split need, once a frame of 16 bits is met.

    Args:
        settings: of the data set.
        split: such as `train`.
        beside: other splits for that depth, beside those of `splits`, train, val and test; those that there are count.

    Raises:
        DataError: a folder or file that it needs is not there, or frames and labels do not belong together.
        MediaError: a video cannot be read.
    """
    try:
        return _opened(settings, split, beside)
    except OSError as error:  # a folder that may not be looked into
        raise DataError(
            f"opening a data set: {reason(error)}: '{error.filename or settings.root}'"
        ) from error


def _opened(settings: DataSettings, split: str, beside: Iterable[str | None]) -> DataSet:
    kind = KINDS[settings.kind]
    root = Path(os.path.expanduser(settings.root))  # noqa: PTH111 - Path's raises for a user who is not there
    if settings.min_confidence and settings.confidence is None:
        raise DataError(
            f"opening a data set: min_confidence is {settings.min_confidence:g}, but confidence names no folder: '{root}'"
        )
    layout = _layout(settings, root, split)
    classes = classes_of(settings, kind, root)
    sequences, kind = _sequences(settings, root, layout, split)
    splits = dict.fromkeys(name for name in (split, *beside, *settings.splits, *_USUAL_SPLITS) if name)
    return DataSet(
        name=settings.name or (as_utf8(root.absolute().name) if settings.kind == "folder" else settings.kind),
        split=as_utf8(split),
        classes=classes,
        sequences=tuple(sequences),
        frames=FrameReader(
            lambda: max(_largest_sample(settings, root, name) for name in splits),
            size_hw=settings.size_hw,
            bit_depth=settings.bit_depth,
        ),
        labels=label_reader(settings, kind, classes, root, masks=layout.labels is None),
        may_be_empty=settings.may_be_empty,
    )


def _layout(settings: DataSettings, root: Path, split: str) -> Layout:
    if not split:
        raise DataError(
            f"opening a data set: the split's name is empty; expected one such as train: '{root}'"
        )
    if not root.is_dir():
        raise DataError(f"opening a data set: there is no such folder: '{root}'")
    return chosen_layout(settings, KINDS[settings.kind], root, settings.splits.get(split, split))


def _sequences(
    settings: DataSettings, root: Path, layout: Layout, split: str
) -> tuple[list[Sequence], KindFacts]:
    """Of the split; and the kind, without its ids where the labels are train ids already."""
    kind, stored_split = KINDS[settings.kind], settings.splits.get(split, split)
    single_images = _are_single(settings, kind, split)
    if settings.kind == "cityscapes" and {settings.images, settings.labels, settings.masks} == {None}:
        for name in ("confidence", "label_suffix", "list_file"):
            if getattr(settings, name) is not None:
                raise DataError(
                    f"opening a data set: {name} does not go with Cityscapes' own folders; name images and labels as well: "
                    f"'{root}'"
                )
        sequences, has_train_ids = cityscapes_sequences(
            root, layout, stored_split, single_images=single_images
        )
        return sequences, replace(kind, ids=None) if has_train_ids else kind
    sequences = folder_sequences(
        root,
        layout,
        confidence=settings.confidence,
        split=stored_split,
        single_images=single_images,
    )
    return sequences, kind


def _largest_sample(settings: DataSettings, root: Path, split: str) -> int:
    """Of the 16-bit ones in a few images of a split; 0 where there is no such split, or it cannot be opened."""
    try:
        sequences, _ = _sequences(settings, root, _layout(settings, root, split), split)
    except (TdnetError, OSError):  # said when the split itself is opened
        return 0
    frames = (frame.image for each in sequences for frame in each.frames)
    return largest_sample([image.path for image in frames if image.index is None])


def _are_single(settings: DataSettings, kind: KindFacts, split: str) -> bool:
    if isinstance(settings.single_images, tuple):
        return split in settings.single_images
    return kind.single_images if settings.single_images is None else settings.single_images
