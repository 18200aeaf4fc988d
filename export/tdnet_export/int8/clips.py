"""Calibration footage: a few short runs of consecutive frames, spread over what the user gave."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from tdnet_runtime.errors import OptionError
from tdnet_runtime.media.sources import open_source
from tdnet_runtime.preprocess import Resizer

__all__ = ["CLIPS", "calibration_clips", "clip_length", "clip_starts"]

Frame = npt.NDArray[np.uint8]

CLIPS = 8
"""Runs of frames; each gives one sample for every graph."""


def clip_length(paths: int) -> int:
    """2m − 1 frames: m − 1 fill the memory, then every path runs once with all of it."""
    return 2 * paths - 1


def clip_starts(frames: int, *, paths: int, clips: int = CLIPS) -> list[int]:
    """Indices at which clips begin, evenly spread and apart from each other; as many as there is room for."""
    length = clip_length(paths)
    count = min(clips, frames // length)
    if count <= 1:
        return [0] * count
    return [int(index) for index in np.linspace(0, frames - length, count).round()]


def calibration_clips(
    source: str, *, paths: int, size_hw: tuple[int, int], clips: int = CLIPS
) -> Iterator[list[Frame]]:
    """Clips of 2m − 1 consecutive frames, uint8 [H, W, 3] of `size_hw`.

    Args:
        source: a video or a folder of images, in the order in which a stream would see them.
        paths: m.
        size_hw: the network's size; frames are resized as the runtime does.
        clips: at most so many.

    Raises:
        OptionError: there are fewer frames than one clip has.
        MediaError: it cannot be read.
    """
    with open_source(source) as counted:
        total = sum(1 for _ in counted)
    starts = clip_starts(total, paths=paths, clips=clips)
    length = clip_length(paths)
    if not starts:
        raise OptionError(
            f"--calibration has {total} frames; expected {length} consecutive ones or more, better "
            f"{CLIPS * length} and from all places that the robot will see: {source!r}"
        )
    resizer = Resizer(size_hw)
    clip: list[Frame] = []
    with open_source(source) as frames:
        for index, frame in enumerate(frames):
            if not any(start <= index < start + length for start in starts):
                continue
            resizer.require((frame.image.shape[0], frame.image.shape[1]))
            image = np.empty((*size_hw, 3), dtype=np.uint8)
            resizer.put(frame.image, image)
            clip.append(image)
            if len(clip) == length:
                yield clip
                clip = []
