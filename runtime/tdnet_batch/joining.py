"""Putting the pieces of a cut input together, and measuring what the cuts cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from tdnet_batch.label_files import LabelFiles
from tdnet_batch.npz_file import read_npz
from tdnet_batch.record import ClassCount, Joints, Record, read_record
from tdnet_runtime.errors import MediaError

__all__ = ["Joined", "join_pieces"]


@dataclass(slots=True, kw_only=True)
class Joined:
    """The whole that the pieces give; see `Record`."""

    frames: int = 0
    classes: dict[str, ClassCount] = field(default_factory=dict)
    seconds: float = 0.0
    damaged: int = 0
    warning: str | None = None
    joints: Joints


def join_pieces(folders: Sequence[Path], files: LabelFiles) -> Joined:
    """Write the frames of all pieces in order.

    Where a piece begins, its labels are compared with those that the piece before made of the same frames: its stream
    had seen all that came before.

    Raises:
        MediaError: a piece is not there, or cannot be read or written.
    """
    records = [_record_of(folder) for folder in folders]
    equal = pixels = compared = 0
    index = -1
    with files:
        for number, folder in enumerate(folders):
            ahead = {}
            if number:
                ahead = {frame.name: frame.labels for frame in read_npz(folders[number - 1] / "after.npz")}
            for frame in read_npz(folder / "labels.npz"):
                index = 0 if frame.begins else index + 1
                files.write(replace(frame, frame_index=index))
                other = ahead.get(frame.name)
                if other is not None and other.shape == frame.labels.shape:
                    equal += int(np.count_nonzero(other == frame.labels))
                    pixels += frame.labels.size
                    compared += 1
    joints = Joints(
        pieces=len(folders),
        warm_up_frames=sum(record.warm_up_frames for record in records),
        compared_frames=compared,
        equal_pixels=equal / pixels if pixels else None,
    )
    joined = Joined(
        frames=sum(record.frames for record in records),
        seconds=sum(record.seconds for record in records),
        damaged=records[-1].damaged,  # which has read all of it
        warning=records[-1].warning,
        joints=joints,
    )
    for record in records:
        for name, count in record.classes.items():
            before = joined.classes.get(name, ClassCount(pixels=0, frames=0))
            joined.classes[name] = ClassCount(
                pixels=before.pixels + count.pixels, frames=before.frames + count.frames
            )
    return joined


def _record_of(folder: Path) -> Record:
    record = read_record(folder)
    if record is None:
        raise MediaError(f"joining pieces: one was lost or changed meanwhile; start it again: '{folder}'")
    return record
