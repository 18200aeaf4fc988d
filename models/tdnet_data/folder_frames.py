"""A split's frames and labels, found in folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tdnet_data.dataset import Frame, FrameRef, Sequence
from tdnet_data.file_index import files_by_name
from tdnet_data.kinds import Layout
from tdnet_data.label_images import LABEL_SUFFIXES
from tdnet_data.sequencing import sequences_by_name
from tdnet_data.split_list import only_listed
from tdnet_data.video_sequence import VIDEO_SUFFIXES, of_video, video_sequences
from tdnet_runtime.errors import DataError
from tdnet_runtime.file_names import as_utf8
from tdnet_runtime.media.images import IMAGE_SUFFIXES

__all__ = ["folder_sequences"]

_Files = Mapping[str, Path]


def folder_sequences(
    root: Path, layout: Layout, *, confidence: str | None, split: str, single_images: bool
) -> list[Sequence]:
    """Sequences of image files and of videos; a frame's label image has its name, in the labels' folder.

    Args:
        root: folder of the data set.
        layout: of the split.
        confidence: folder of confidence images below `root`; None without.
        split: name of the split, and of a sequence that has no other.
        single_images: no frame follows another.

    Raises:
        DataError: no frames, a label image without its frame, or no label image with one.
    """
    images, label_folder = root / layout.images, root / (layout.labels or layout.masks or "")
    found, videos = _frames(images)
    if layout.holds is not None:
        found = {name: path for name, path in found.items() if layout.holds(name, split)}
    if layout.list_file is not None:
        found = only_listed(found, root / layout.list_file)
    ending = layout.label_suffix
    labels = files_by_name(label_folder, LABEL_SUFFIXES, what="label images", ending=ending)
    sure: _Files = {}
    if confidence is not None:
        folder = root / confidence.replace("{split}", split)
        sure = files_by_name(folder, LABEL_SUFFIXES, what="confidence images", ending=ending)
    if images == label_folder:
        found = {name: path for name, path in found.items() if path not in labels.values()}
    alone = len(videos) == 1 and not found
    sequences = [
        Sequence(
            name=name or as_utf8(split), frames=tuple(_frame(frame, found, labels, sure) for frame in frames)
        )
        for name, frames in sequences_by_name(found, single_images=single_images).items()
    ]
    for name, video in videos.items():
        own_labels, own_sure = (of_video(files, name, alone=alone) for files in (labels, sure))
        sequences += video_sequences(name, video, own_labels, own_sure, single_images=single_images)
    frames = [frame for sequence in sequences for frame in sequence.frames]
    by_name: dict[str, Frame] = {}
    for frame in frames:
        other = by_name.setdefault(frame.name, frame)
        if other is not frame:
            raise DataError(
                f"opening a data set: {other.image} and {frame.image} are both called {frame.name!r}; rename one of them: "
                f"'{images}'"
            )
    _check_labels(frames, labels, layout, images=images, folder=label_folder)
    for frame in frames:
        if confidence is not None and frame.label is not None and frame.confidence is None:
            raise DataError(
                f"opening a data set: a label image has no confidence image of its name in {confidence!r}: "
                f"'{frame.label}'"
            )
    return sequences


def _frames(images: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Images and videos by their names."""
    if images.is_file():
        return {}, {as_utf8(images.stem): images}
    found = files_by_name(images, IMAGE_SUFFIXES, what="images")
    videos = files_by_name(images, VIDEO_SUFFIXES, what="videos")
    if not found and not videos:
        raise DataError(
            f"opening a data set: no images ({', '.join(IMAGE_SUFFIXES)}) and no videos in '{images}'"
        )
    return found, videos


def _frame(name: str, images: _Files, labels: _Files, confidences: _Files) -> Frame:
    label, confidence = labels.get(name), confidences.get(name)
    return Frame(name=name, image=FrameRef(images[name]), label=label, confidence=confidence)


def _check_labels(frames: list[Frame], labels: _Files, layout: Layout, *, images: Path, folder: Path) -> None:
    used = {frame.label for frame in frames}
    if used <= {None}:
        pairs = f" ({next(iter(labels))!r} and {frames[0].name!r}, for instance)" if labels and frames else ""
        raise DataError(
            f"opening a data set: no label image ({', '.join(LABEL_SUFFIXES)}) is called like a frame{pairs}; "
            f"label_suffix is what their names have after the frames': '{folder}'"
        )
    stray = [path for path in labels.values() if path not in used]
    if stray and not layout.shares_labels:
        more = f", and {len(stray) - 1} more like it" if len(stray) > 1 else ""
        raise DataError(
            f"opening a data set: a label image has no frame of its name in '{images}'{more}: '{stray[0]}'"
        )
