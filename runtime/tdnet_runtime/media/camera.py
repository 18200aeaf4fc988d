"""Frames from a camera, through OpenCV."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.damage import DamageLog, OnDamage
from tdnet_runtime.media.frames import Fact, SourceFrame
from tdnet_runtime.media.native_stderr import held_stderr

__all__ = ["CameraSource", "camera_index"]

_SPEC = re.compile(r"(?:camera:|/dev/video)?([0-9]{1,4})")


def camera_index(spec: str) -> int | None:
    """The number in `0`, `camera:0` or `/dev/video0`; None where `spec` is not a camera's name.

    Raises:
        MediaError: it begins with `camera:` but goes on with something else than a number.
    """
    match = _SPEC.fullmatch(spec)
    if match is None and spec.startswith("camera:"):
        raise MediaError(f"opening the input: a camera is named camera:0, camera:1, ...; got {spec!r}")
    return None if match is None else int(match[1])


class CameraSource(Closeable):
    """A camera's frames as they arrive, without end; see `FrameSource`.

    A frame that comes while nobody asks is dropped by the driver, so `fps` is None: what counts is
    `SourceFrame.stamp_ns`.
    """

    fps: Fraction | None = None
    frame_count: int | None = None

    def __init__(self, index: int) -> None:
        self.description = f"camera {index}"
        self.damage = DamageLog(OnDamage.SKIP)
        self.facts: dict[str, Fact] = {"reader": f"OpenCV {cv2.__version__}", "orientation": "as stored"}
        device = Path(f"/dev/video{index}")
        if not device.exists():
            present = sorted(str(path) for path in device.parent.glob("video*")) or ["none"]
            raise MediaError(
                f"opening camera {index}: there is no {device} (cameras present: {', '.join(present)}). "
                "Is it plugged in, and passed into the container?"
            )
        self._capture: cv2.VideoCapture | None = None
        try:
            with held_stderr():
                self._capture = cv2.VideoCapture(index)
                self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # a new frame rather than every frame
                ok, first = self._capture.read()
                if not ok:
                    raise MediaError(
                        f"opening camera {index}: {device} gives no frames. Another program may be using it, "
                        "it may be no capture device, or you may lack the right to read it (group video)."
                    )
        except BaseException:
            self.close()
            raise
        self.size_hw: tuple[int, int] = (first.shape[0], first.shape[1])

    def close(self) -> None:
        """Release the camera. Safe to call twice."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def __iter__(self) -> Iterator[SourceFrame]:
        """See `FrameSource`; ends only by raising MediaError, when the camera goes away."""
        index = 0
        while self._capture is not None:
            ok, bgr = self._capture.read()
            stamp_ns = time.monotonic_ns()
            if not ok:
                raise MediaError(f"reading {self.description}: it stopped after {index} frames; unplugged?")
            image = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)
            if image.shape[:2] != self.size_hw:
                raise MediaError(
                    f"reading {self.description}: frame {index} is {image.shape[0]}x{image.shape[1]}, "
                    f"the first was {self.size_hw[0]}x{self.size_hw[1]} (height x width)"
                )
            yield SourceFrame(image=image, name=f"{index:06d}", stamp_ns=stamp_ns)
            index += 1
