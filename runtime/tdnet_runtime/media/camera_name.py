"""Which camera a user means."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from tdnet_runtime.errors import MediaError

__all__ = ["CameraName", "camera_from_name", "present_cameras"]

_SPEC = re.compile(r"(?:camera:|/dev/video)?([0-9]{1,4})")
_V4L_MAJOR = 81


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraName:
    """A camera, present or not.

    Attributes:
        index: N of /dev/videoN; None where the device has no such name, as in a container that was given
            another one.
        device: its path: /dev/videoN, or as the user wrote it.
    """

    index: int | None
    device: str

    def __str__(self) -> str:
        """For messages: `camera 0`, with the path where that says more."""
        plain = f"/dev/video{self.index}"
        if self.index is None or self.device != plain:
            return f"camera '{self.device}'" + ("" if self.index is None else f" ({plain})")
        return f"camera {self.index}"


def camera_from_name(spec: str) -> CameraName | None:
    """The camera that `0`, `camera:0`, `/dev/video0`, a link to it or another device file of it names.

    Returns:
        None where `spec` is not a camera's name.

    Raises:
        MediaError: it begins with `camera:` but goes on with something else than a number.
    """
    match = _SPEC.fullmatch(spec)
    if match is not None:
        return CameraName(index=int(match[1]), device=f"/dev/video{int(match[1])}")
    if spec.startswith("camera:"):
        raise MediaError(f"opening the input: a camera is named camera:0, camera:1, ...; got {spec!r}")
    try:
        linked = _SPEC.fullmatch(os.path.realpath(spec))  # udev's links, also those that lead nowhere by now
        if linked is not None:
            return CameraName(index=int(linked[1]), device=spec)
        status = os.stat(spec)  # noqa: PTH116 - a name that ends in a slash is not a device's
    except (OSError, ValueError):  # ValueError: a null character
        return None
    if not stat.S_ISCHR(status.st_mode) or os.major(status.st_rdev) != _V4L_MAJOR:
        return None
    return CameraName(index=_index_of(status.st_rdev), device=spec)


def present_cameras() -> list[str]:
    """Paths of the video devices, the names that last first."""
    named = sorted(Path("/dev/v4l/by-id").glob("*"))
    return [str(path) for path in (*named, *sorted(Path("/dev").glob("video*")))]


def _index_of(device_number: int) -> int | None:
    """N of the /dev/videoN with that number."""
    for path in Path("/dev").glob("video*"):
        match = _SPEC.fullmatch(str(path))
        try:
            if match is not None and path.stat().st_rdev == device_number:
                return int(match[1])
        except OSError:
            continue  # gone by now
    return None
