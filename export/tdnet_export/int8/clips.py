"""Calibration footage: a few short runs of consecutive frames, spread over what the user gave."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from tdnet_runtime.errors import OptionError
from tdnet_runtime.media.damage import OnDamage
from tdnet_runtime.passwords import hide_password
from tdnet_runtime.preprocess import Resizer
from tdnet_runtime.sources.registry import is_live, open_source

__all__ = ["CLIPS", "calibration_clips", "clip_starts"]

Frame = npt.NDArray[np.uint8]

CLIPS = 8
"""Runs of m frames, one for each path; each gives one sample for every graph."""


def clip_starts(frames: int, *, paths: int, clips: int = CLIPS) -> list[int]:
    """Indices at which clips begin, evenly spread and apart from each other; as many as there is room for."""
    count = min(clips, frames // paths)
    if count <= 1:
        return [0] * count
    return [int(index) for index in np.linspace(0, frames - paths, count).round()]


def _starts(lengths: list[int], *, paths: int, clips: int) -> list[int]:
    """Indices at which clips begin in sequences one after the other, none across two, spread over all."""
    begins = np.cumsum([0, *lengths])
    long = [index for index, frames in enumerate(lengths) if frames >= paths]
    chosen = [
        long[index] for index in np.linspace(0, len(long) - 1, min(clips, len(long))).round().astype(int)
    ]
    starts = []
    for place, index in enumerate(chosen):
        share = (clips + len(chosen) - 1 - place) // len(chosen)
        starts += [
            int(begins[index]) + start for start in clip_starts(lengths[index], paths=paths, clips=share)
        ]
    return starts


def calibration_clips(
    source: str, *, paths: int, size_hw: tuple[int, int], clips: int = CLIPS
) -> Iterator[list[Frame]]:
    """Clips of m consecutive frames, one for each path, uint8 [H, W, 3] of `size_hw`.

    Args:
        source: a video, a folder of images or of such folders, or a log, in the order in which a stream would see them.
        paths: m.
        size_hw: the network's size; frames are resized as the runtime does.
        clips: at most so many.

    Raises:
        OptionError: there are fewer frames than one clip has, or its frames come by the clock and never end.
        MediaError: it cannot be read, or a frame is damaged.
    """
    if is_live(source):
        raise OptionError(
            "--calibration needs a video, a folder of images or a log, since clips are spread over all of it; this is a "
            f"camera or a live address, which never ends: record it, and give the recording: {hide_password(source)!r}"
        )
    lengths = [0]
    with open_source(source, on_damage=OnDamage.FAIL) as counted:
        for frame in counted:
            if frame.begins:
                lengths.append(0)
            lengths[-1] += 1
    starts = _starts(lengths, paths=paths, clips=clips)
    if not starts:
        raise OptionError(
            f"--calibration has {max(lengths)} frames; expected {paths} consecutive ones or more, better "
            f"{CLIPS * paths} and from all places that the robot will see: {hide_password(source)!r}"
        )
    resizer = Resizer(size_hw)
    clip: list[Frame] = []
    with open_source(source, on_damage=OnDamage.FAIL) as frames:
        for index, frame in enumerate(frames):
            if not any(start <= index < start + paths for start in starts):
                continue
            resizer.require((frame.image.shape[0], frame.image.shape[1]))
            image = np.empty((*size_hw, 3), dtype=np.uint8)
            resizer.put(frame.image, image)
            clip.append(image)
            if len(clip) == paths:
                yield clip
                clip = []
