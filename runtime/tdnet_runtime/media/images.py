"""Frames from a folder of images."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.damage import DamageLog, OnDamage
from tdnet_runtime.media.frames import Fact, SourceFrame, reason
from tdnet_runtime.media.native_stderr import held_stderr

__all__ = ["IMAGE_SUFFIXES", "ImageFolderSource", "natural_key", "sequence_folders"]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
_NOMINAL_PERIOD_NS = 40_000_000  # 25 frames/s, for want of a rate
# Pixels as they are stored, so that a label image lies on its frame pixel by pixel in every program.
_DECODE_FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sort key by which `frame2` comes before `frame10`."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if i % 2 else part.casefold() for i, part in enumerate(parts)], name


class ImageFolderSource(Closeable):
    """The images of a folder, not of its sub-folders, in natural order; see `FrameSource`."""

    fps: Fraction | None = None

    def __init__(self, folder: Path, *, on_damage: OnDamage = OnDamage.SKIP) -> None:
        self.description = f"images in '{folder}'"
        self.damage = DamageLog(on_damage)
        self.facts: dict[str, Fact] = {"reader": f"OpenCV {cv2.__version__}", "orientation": "as stored"}
        self._paths = _image_paths(folder)
        self.frame_count: int | None = len(self._paths)
        height, width, _ = _read_rgb(self._paths[0]).shape
        self.size_hw: tuple[int, int] = (height, width)

    def close(self) -> None:
        """Nothing is held between two images."""

    def __iter__(self) -> Iterator[SourceFrame]:
        """See `FrameSource`."""
        for index, path in enumerate(self._paths):
            image = _read_rgb(path)
            if image.shape[:2] != self.size_hw:
                raise MediaError(
                    f"reading images stopped after {index}: the next is {image.shape[0]}x{image.shape[1]}, "
                    f"the first was {self.size_hw[0]}x{self.size_hw[1]} (height x width), and one stream has "
                    f"one size: '{path}'"
                )
            yield SourceFrame(image=image, name=path.stem, stamp_ns=index * _NOMINAL_PERIOD_NS)


def sequence_folders(folder: Path) -> list[Path]:
    """Sub-folders with images, in natural order, of a folder that holds none itself; none of any other.

    Raises:
        MediaError: a folder cannot be read.
    """
    if _images_in(folder):
        return []
    folders = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return sorted(filter(_images_in, folders), key=lambda path: natural_key(path.name))


def _images_in(folder: Path) -> list[Path]:
    try:
        names = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    except OSError as error:
        raise MediaError(f"opening the folder: {reason(error)}: '{folder}'") from error
    return [path for path in names if not path.name.startswith(".")]


def _image_paths(folder: Path) -> list[Path]:
    """The images in natural order, at least one, no two with the same stem."""
    paths = _images_in(folder)
    if not paths:
        raise MediaError(f"opening the folder: no images ({', '.join(IMAGE_SUFFIXES)}) in '{folder}'")
    paths.sort(key=lambda path: natural_key(path.name))
    by_stem: dict[str, Path] = {}
    for path in paths:
        other = by_stem.setdefault(path.stem, path)
        if other is not path:
            raise MediaError(
                f"opening the folder: '{other.name}' and '{path.name}' would share the label image "
                f"'{path.stem}.png'; rename or move one of them: '{folder}'"
            )
    return paths


def _read_rgb(path: Path) -> npt.NDArray[np.uint8]:
    """Decode one image into uint8 [H, W, 3], RGB; grey, 16-bit and transparent ones are converted."""
    try:
        data = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    except OSError as error:
        raise MediaError(f"reading an image: {reason(error)}: '{path}'") from error
    if data.size == 0:
        raise MediaError(f"reading an image: the file is empty (0 bytes): '{path}'")
    with held_stderr():
        try:
            bgr = cv2.imdecode(data, _DECODE_FLAGS)
        except cv2.error as error:  # e.g. more pixels than OpenCV takes
            raise MediaError(f"reading an image: {error.err}: '{path}'") from error
        if bgr is None:
            raise MediaError(f"reading an image: not an image, damaged or cut short: '{path}'")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr), dtype=np.uint8)
