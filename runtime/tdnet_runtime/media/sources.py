"""Opening whatever the user named: a video, a folder of images or a camera."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.camera import CameraSource, camera_index
from tdnet_runtime.media.damage import OnDamage
from tdnet_runtime.media.frames import FrameSource, reason
from tdnet_runtime.media.images import ImageFolderSource

__all__ = ["open_source"]


def open_source(spec: str | os.PathLike[str], *, on_damage: OnDamage = OnDamage.SKIP) -> FrameSource:
    """Open `spec` for reading; the first frame has been decoded when this returns.

    Args:
        spec: path of a video file, path of a folder of images (png, jpg, jpeg, bmp, tif, tiff, webp; in
            natural order), or a camera: `0`, `camera:0` or `/dev/video0`. A file called `0` is `./0`.
        on_damage: what becomes of damaged frames.

    Raises:
        MediaError: nothing there, unreadable, or without a single frame.
    """
    name = os.fspath(spec)
    index = camera_index(name)
    if index is not None:
        return CameraSource(index)
    path = Path(name)
    try:
        status = path.stat()
    except FileNotFoundError:
        raise MediaError(
            f"opening the input: there is no such video file or folder of images: '{path}'. "
            "A camera is named 0, camera:0 or /dev/video0."
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise MediaError(f"opening the input: {reason(error)}: {name!r}") from error
    if stat.S_ISDIR(status.st_mode):
        return ImageFolderSource(path, on_damage=on_damage)
    if not stat.S_ISREG(status.st_mode):
        raise MediaError(f"opening the input: neither a file, a folder nor a camera: '{path}'")
    if status.st_size == 0:
        raise MediaError(f"opening the input: the file is empty (0 bytes): '{path}'")
    from tdnet_runtime.media.video import VideoSource  # only here: images and cameras do without PyAV

    return VideoSource(path, on_damage=on_damage)
