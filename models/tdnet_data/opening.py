"""Opening a data set: which files are frames, which their labels, and what these mean."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from tdnet_data.cityscapes import cityscapes_sequences
from tdnet_data.dataset import DataSet
from tdnet_data.folder_frames import folder_sequences
from tdnet_data.frame_reader import FrameReader
from tdnet_data.kinds import KINDS, KindFacts
from tdnet_data.layouts import chosen_layout
from tdnet_data.meaning import classes_of, label_reader
from tdnet_data.settings import DataSettings
from tdnet_runtime.errors import DataError
from tdnet_runtime.media.frames import reason

__all__ = ["open_dataset"]


def open_dataset(settings: DataSettings, split: str) -> DataSet:
    """The data set's split called `split`. Looks for its files, and reads none but lists and headers of videos.

    Args:
        settings: of the data set.
        split: such as `train`.

    Raises:
        DataError: a folder or file that it needs is not there, or frames and labels do not belong together.
        MediaError: a video cannot be read.
    """
    try:
        return _opened(settings, split)
    except OSError as error:  # a folder that may not be looked into
        raise DataError(
            f"opening a data set: {reason(error)}: '{error.filename or settings.root}'"
        ) from error


def _opened(settings: DataSettings, split: str) -> DataSet:
    kind = KINDS[settings.kind]
    root = Path(os.path.expanduser(settings.root))  # noqa: PTH111 - Path's raises for a user who is not there
    if settings.min_confidence and settings.confidence is None:
        raise DataError(
            f"opening a data set: min_confidence is {settings.min_confidence:g}, but confidence names no folder: '{root}'"
        )
    if not split:
        raise DataError(
            f"opening a data set: the split's name is empty; expected one such as train: '{root}'"
        )
    if not root.is_dir():
        raise DataError(f"opening a data set: there is no such folder: '{root}'")
    stored_split = settings.splits.get(split, split)
    layout = chosen_layout(settings, kind, root, stored_split)
    classes = classes_of(settings, kind, root)
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
        kind = replace(kind, ids=None) if has_train_ids else kind
    else:
        sequences = folder_sequences(
            root,
            layout,
            confidence=settings.confidence,
            split=stored_split,
            single_images=single_images,
        )
    images = [frame.image.path for each in sequences for frame in each.frames if frame.image.index is None]
    return DataSet(
        name=settings.name or (root.absolute().name if settings.kind == "folder" else settings.kind),
        split=split,
        classes=classes,
        sequences=tuple(sequences),
        frames=FrameReader(images, size_hw=settings.size_hw, bit_depth=settings.bit_depth),
        labels=label_reader(settings, kind, classes, root, masks=layout.labels is None),
        may_be_empty=settings.may_be_empty,
    )


def _are_single(settings: DataSettings, kind: KindFacts, split: str) -> bool:
    if isinstance(settings.single_images, tuple):
        return split in settings.single_images
    return kind.single_images if settings.single_images is None else settings.single_images
