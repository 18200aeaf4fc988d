"""Opening whatever the user named: a video, a folder of images or a camera."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from tdnet_runtime.errors import MediaError, OptionError
from tdnet_runtime.media.camera import CameraRequest, CameraSource
from tdnet_runtime.media.camera_name import camera_from_name
from tdnet_runtime.media.damage import OnDamage
from tdnet_runtime.media.frames import FrameSource, reason
from tdnet_runtime.media.images import ImageFolderSource

__all__ = ["open_source"]

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def open_source(
    spec: str | os.PathLike[str],
    *,
    on_damage: OnDamage = OnDamage.SKIP,
    bit_depth: int | None = None,
    camera: CameraRequest | None = None,
) -> FrameSource:
    """Open `spec` for reading; the first frame has been decoded when this returns.

    Args:
        spec: path of a video file; path of a folder of images (png, jpg, jpeg, bmp, tif, tiff, webp; in
            natural order), or of such folders; or a camera: `0`, `camera:0`, `/dev/video0`, a link to it. A
            file called `0` is `./0`.
        on_damage: what becomes of damaged frames.
        bit_depth: of the images' 16-bit samples; None to detect it.
        camera: what a camera is asked to give; None for what it gives unasked.

    Raises:
        MediaError: nothing there, unreadable, or without a single frame.
        OptionError: `bit_depth` for something else than images, `camera` for something else than a camera.
    """
    name = os.fspath(spec)
    if not name.strip():
        raise MediaError(f"opening the input: its name is empty ({name!r}); is a variable unset?")
    device = camera_from_name(name)
    folder = device is None and _is_folder(name)
    if bit_depth is not None and not folder:
        raise OptionError(f"--bit-depth goes with a folder of images; leave it out for {name!r}")
    if camera not in (None, CameraRequest()) and device is None:
        raise OptionError(
            f"--camera-size, --camera-format and --camera-fps go with a camera; leave them out for {name!r}"
        )
    if device is not None:
        return CameraSource(device, request=camera, on_damage=on_damage)
    if folder:
        return ImageFolderSource(Path(name), on_damage=on_damage, bit_depth=bit_depth)
    from tdnet_runtime.media.video import VideoSource  # only here: images and cameras do without PyAV

    return VideoSource(Path(name), on_damage=on_damage)


def _is_folder(name: str) -> bool:
    """True for a folder, False for a file with something in it.

    Raises:
        MediaError: it is neither.
    """
    path = Path(name)
    try:
        status = path.stat()
    except FileNotFoundError:
        if _ADDRESS.match(name):
            raise MediaError(
                "opening the input: addresses are not opened, only files, folders and cameras of this machine; save "
                f"it as a file, or read it yourself and push its frames (docs/streaming.md): {name!r}"
            ) from None
        raise MediaError(
            f"opening the input: there is no such video file or folder of images: '{path}'. "
            "A camera is named 0, camera:0 or /dev/video0."
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise MediaError(f"opening the input: {reason(error)}: {name!r}") from error
    if stat.S_ISDIR(status.st_mode):
        return True
    if not stat.S_ISREG(status.st_mode):
        raise MediaError(f"opening the input: neither a file, a folder nor a camera: '{path}'")
    if status.st_size == 0:
        raise MediaError(f"opening the input: the file is empty (0 bytes): '{path}'")
    return False
