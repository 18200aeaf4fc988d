"""The frames on which an export is proven: a rendered scene, or the user's own footage."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import numpy.typing as npt

from tdnet_runtime.errors import OptionError
from tdnet_runtime.media.damage import OnDamage
from tdnet_runtime.media.scene import render
from tdnet_runtime.passwords import hide_password
from tdnet_runtime.preprocess import Resizer
from tdnet_runtime.sources.registry import open_source

__all__ = ["proof_frames"]

_OPTION = "--frames"


def proof_frames(
    clip: str | None, count: int, *, size_hw: tuple[int, int], option: str = _OPTION
) -> Iterator[npt.NDArray[np.uint8]]:
    """`count` consecutive frames, uint8 [H, W, 3] of `size_hw`.

    Args:
        clip: a video or a folder of images, of folders of these the first; resized as the runtime does. None for
            the scene.
        count: how many.
        size_hw: the network's size.
        option: that the clip was given with, for messages.

    Raises:
        OptionError: the clip has fewer frames.
        MediaError: it cannot be read, or a frame is damaged.
    """
    height, width = size_hw
    if clip is None:
        for index in range(count):
            yield render(index, height=height, width=width)
        return
    resizer = Resizer(size_hw)
    found, where = 0, ""
    with open_source(clip, on_damage=OnDamage.FAIL) as source:
        for frame in islice(source, count):
            if frame.begins:
                where = " in its first sequence"
                break
            resizer.require((frame.image.shape[0], frame.image.shape[1]))
            image = np.empty((height, width, 3), dtype=np.uint8)
            resizer.put(frame.image, image)
            yield image
            found += 1
    if found < count:
        raise OptionError(
            f"{option} has {found} frames{where}; the proof needs {count} consecutive ones (3 rounds of all paths "
            f"and 2){'' if option == _OPTION else f', or a clip of its own with {_OPTION}'}: {hide_password(clip)!r}"
        )
