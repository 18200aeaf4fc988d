"""Frames from a camera, through OpenCV."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import MediaError, OptionError
from tdnet_runtime.forks import ForkBound
from tdnet_runtime.media.camera_name import CameraName, present_cameras
from tdnet_runtime.media.damage import DamageLog, OnDamage
from tdnet_runtime.media.frames import Fact, SourceFrame
from tdnet_runtime.media.image_file import DECODER_NOISE, damage_in
from tdnet_runtime.media.native_stderr import held_stderr
from tdnet_runtime.os_errors import told_as

__all__ = ["CameraRequest", "CameraSource"]

_FAILED_READS = 10
"""In a row, after which a camera counts as gone."""
_RETRY_AFTER_S = 0.05
_FPS_TOLERANCE = 0.01  # 30 is 30.00003 or 29.97 in drivers' fractions


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraRequest:
    """What a camera is asked to give; None for what it gives unasked.

    Attributes:
        size_hw: (H, W).
        pixel_format: V4L2's four characters, such as MJPG or YUYV.
        fps: frames per second.

    Raises:
        OptionError: a value that cannot be meant.
    """

    size_hw: tuple[int, int] | None = None
    pixel_format: str | None = None
    fps: float | None = None

    def __post_init__(self) -> None:
        if self.size_hw is not None and min(self.size_hw) < 1:
            raise OptionError(f"--camera-size is {_by(self.size_hw)}; expected 1x1 or more")
        if self.pixel_format is not None and not re.fullmatch(r"[A-Z0-9 ]{4}", self.pixel_format):
            raise OptionError(
                f"--camera-format is {self.pixel_format!r}; expected four characters, such as MJPG or YUYV"
            )
        if self.fps is not None and not 0 < self.fps <= 1000:
            raise OptionError(f"--camera-fps is {self.fps:g}; expected more than 0 and at most 1000")


@dataclass(frozen=True, slots=True)
class _Picture:
    """uint8 [H, W, 3], RGB; when it came, by the monotonic clock; and what is wrong with it."""

    image: npt.NDArray[np.uint8]
    stamp_ns: int
    damage: str | None


class CameraSource(Closeable, ForkBound):
    """A camera's frames as they arrive, without end; see `FrameSource`.

    A frame that comes while nobody asks is dropped by the driver, so `fps` is None: what counts is
    `SourceFrame.stamp_ns`. A read that fails is tried again, and counted.

    Args:
        camera: which one.
        request: what it is to give; what it gives instead is an error.
        on_damage: what becomes of frames (MJPG) that libjpeg calls corrupt.

    Raises:
        MediaError: it is absent, gives no frames, or others than asked for.
    """

    fork_error = MediaError
    fps: Fraction | None = None
    frame_count: int | None = None
    live = True
    _stopped = False

    def __init__(
        self,
        camera: CameraName,
        *,
        request: CameraRequest | None = None,
        on_damage: OnDamage = OnDamage.SKIP,
    ) -> None:
        self.description = str(camera)
        self.damage = DamageLog(on_damage)
        self.failed_reads = 0
        self._capture: cv2.VideoCapture | None = None
        with told_as(MediaError, f"opening {camera}"):
            there = Path(camera.device).exists()
        if not there:
            present = present_cameras() or ["none"]
            raise MediaError(
                f"opening {camera}: there is no {camera.device} (cameras present: {', '.join(present)}). "
                "Is it plugged in, and passed into the container?"
            )
        try:
            silent = MediaError(
                f"opening {camera}: {camera.device} gives no frames. Another program may be using it, "
                "it may be no capture device, or you may lack the right to read it (group video)."
            )
            with held_stderr(DECODER_NOISE):
                self._capture = _open(camera, request or CameraRequest())
                if not self._capture.isOpened():
                    raise silent
            first = self._read()
            if first is None:
                raise silent
            self.size_hw: tuple[int, int] = (first.image.shape[0], first.image.shape[1])
            self._given = _given(self._capture)
            self._check(camera, request or CameraRequest())
        except BaseException:
            self.close()
            raise

    @property
    def facts(self) -> dict[str, Fact]:
        """See `FrameSource`; `camera_format` and `camera_fps` as the driver says them."""
        return {
            "reader": f"OpenCV {cv2.__version__}",
            "orientation": "as stored",
            **self._given,
            "failed_reads": self.failed_reads,
        }

    def stop(self) -> None:
        """See `FrameSource`; a camera that gives nothing ends after V4L2's read time-out."""
        self._stopped = True

    def close(self) -> None:
        """Release the camera. Safe to call twice; nothing in a forked child, or the parent's would stop."""
        if self._capture is not None and not self.stranded:
            self._capture.release()
            self._capture = None

    def __iter__(self) -> Iterator[SourceFrame]:
        """See `FrameSource`; ends by raising MediaError when the camera goes away, and else only by `stop`."""
        index = 0
        while self._capture is not None and not self._stopped:
            self.require_own_process("reading frames")
            picture = self._read()
            if self._stopped:
                return
            if picture is None:
                raise MediaError(
                    f"reading {self.description}: it stopped after {index} frames, {_FAILED_READS} reads in a row "
                    "failed; unplugged?"
                )
            image, stamp_ns, damage = picture.image, picture.stamp_ns, picture.damage
            name = f"{index:06d}"
            index += 1
            if damage is not None and not self.damage.meet(
                f"reading {self.description}: frame {index - 1} is {damage}", usable=True
            ):
                continue
            if image.shape[:2] != self.size_hw:
                raise MediaError(
                    f"reading {self.description}: frame {index - 1} is {_by(image.shape)}, "
                    f"the first was {_by(self.size_hw)} (height x width)"
                )
            yield SourceFrame(image=image, name=name, stamp_ns=stamp_ns, arrival_ns=stamp_ns)

    def _read(self) -> _Picture | None:
        """The next frame; None where the camera is gone.

        Others may decode while it is waited for: a camera that gives nothing takes ten seconds to say so (OpenCV 5.0).
        """
        assert self._capture is not None
        for _ in range(_FAILED_READS):
            if self._stopped:
                break
            ok, picture = False, None
            if self._capture.grab():
                stamp_ns = time.monotonic_ns()
                with held_stderr(DECODER_NOISE) as noise:
                    ok, picture = self._capture.retrieve()
            if ok and picture is not None and picture.size:
                if picture.dtype != np.uint8:
                    raise MediaError(
                        f"reading {self.description}: its samples are {picture.dtype}, expected 8 bits; "
                        "ask for another --camera-format"
                    )
                grey = picture.ndim == 2 or picture.shape[2] == 1
                code = cv2.COLOR_GRAY2RGB if grey else cv2.COLOR_BGR2RGB
                image = np.asarray(cv2.cvtColor(picture, code), dtype=np.uint8)
                return _Picture(image, stamp_ns, damage_in(noise))
            self.failed_reads += 1
            time.sleep(_RETRY_AFTER_S)
        return None

    def _check(self, camera: CameraName, request: CameraRequest) -> None:
        """Raise MediaError where the camera gives something else than `request`."""
        wrong = []
        if request.size_hw not in (None, self.size_hw):
            assert request.size_hw is not None
            turned = "; height comes first" if request.size_hw == self.size_hw[::-1] else ""
            wrong.append(f"--camera-size {_by(request.size_hw)}, gives {_by(self.size_hw)}{turned}")
        pixel_format = self._given.get("camera_format", "none that it tells")
        if request.pixel_format not in (None, pixel_format):
            wrong.append(f"--camera-format {request.pixel_format}, gives {pixel_format}")
        fps = self._given.get("camera_fps", "none that it tells")
        near = isinstance(fps, float) and math.isclose(fps, request.fps or fps, rel_tol=_FPS_TOLERANCE)
        if request.fps is not None and not near:
            wrong.append(f"--camera-fps {request.fps:g}, gives {fps}")
        if wrong:
            raise MediaError(
                f"opening {camera}: asked for {', and for '.join(wrong)}. "
                f"What it can: v4l2-ctl -d {camera.device} --list-formats-ext"
            )


def _open(camera: CameraName, request: CameraRequest) -> cv2.VideoCapture:
    named = (camera.device, cv2.CAP_V4L2) if camera.index is None else (camera.index,)
    capture = cv2.VideoCapture(*named)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # a new frame rather than every frame
    if request.pixel_format is not None:  # before the size: what sizes there are depends on it
        capture.set(cv2.CAP_PROP_FOURCC, int.from_bytes(request.pixel_format.encode(), "little"))
    if request.size_hw is not None:
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, request.size_hw[1])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, request.size_hw[0])
    if request.fps is not None:
        capture.set(cv2.CAP_PROP_FPS, request.fps)
    return capture


def _given(capture: cv2.VideoCapture) -> dict[str, Fact]:
    """What the driver says that it gives."""
    given: dict[str, Fact] = {}
    code, fps = capture.get(cv2.CAP_PROP_FOURCC), capture.get(cv2.CAP_PROP_FPS)
    if math.isfinite(code) and 0 < code < 2**32:
        given["camera_format"] = int(code).to_bytes(4, "little").decode("latin-1")
    if math.isfinite(fps) and fps > 0:
        given["camera_fps"] = float(fps)
    return given


def _by(size: tuple[int, ...]) -> str:
    return f"{size[0]}x{size[1]}"
