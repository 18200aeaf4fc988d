"""Frames from a folder of images, or of folders of images."""

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
from tdnet_runtime.media.bit_depth import BitDepth
from tdnet_runtime.media.damage import DamageLog, OnDamage
from tdnet_runtime.media.frames import Fact, SourceFrame, reason
from tdnet_runtime.media.image_file import ImageFile, read_image
from tdnet_runtime.media.orientation import Orientation
from tdnet_runtime.os_errors import told_as

__all__ = [
    "IMAGE_SUFFIXES",
    "ImageFolderSource",
    "largest_sample",
    "natural_key",
    "sequence_folders",
    "upright_rgb",
]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
_NOMINAL_PERIOD_NS = 40_000_000  # 25 frames/s, for want of a rate
_SAMPLED = 8  # images in which the depth of 16-bit samples is looked up


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sort key by which `frame2` comes before `frame10`."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if i % 2 else part.casefold() for i, part in enumerate(parts)], name


class _NoneUsableError(MediaError):
    """All images are damaged."""


class ImageFolderSource(Closeable):
    """The images of a folder in natural order, upright and of 8 bits; see `FrameSource`.

    Where the folder holds no images but folders with images, each of these is a sequence, and their names come
    before the frames'. Sizes may differ from sequence to sequence.

    Args:
        folder: with images, or with folders of images.
        on_damage: what becomes of damaged ones.
        bit_depth: of the samples in 16-bit files; None to detect it.

    Raises:
        MediaError: no image in it can be used, or the first damaged one where that is to fail.
    """

    fps: Fraction | None = None
    live = False

    def __init__(
        self, folder: Path, *, on_damage: OnDamage = OnDamage.SKIP, bit_depth: int | None = None
    ) -> None:
        sequences = sequence_folders(folder)
        self._stopped = False
        self.description = f"images in '{folder}'"
        if sequences:
            several = f"{len(sequences)} sequences" if len(sequences) > 1 else "1 sequence"
            self.description = f"{several} of images in '{folder}'"
        self.sequences = [path.name for path in sequences]
        self.damage = DamageLog(on_damage)
        self._folders = [_image_paths(path) for path in sequences or [folder]]
        paths = [path for each in self._folders for path in each]
        self.frame_count: int | None = len(paths)
        self._bit_depth = BitDepth(bit_depth, lambda: largest_sample(paths))
        self._orientations: set[Orientation] = set()
        self.size_hw = self._size_of(paths)

    @property
    def facts(self) -> dict[str, Fact]:
        """See `FrameSource`."""
        turned = {orientation.words for orientation in self._orientations}
        depths = sorted(self._bit_depth.met)
        facts: dict[str, Fact] = {
            "reader": f"OpenCV {cv2.__version__}",
            "orientation": turned.pop() if len(turned) == 1 else "mixed" if turned else "unknown",
        }
        if depths:
            facts["bit_depth"] = depths[0] if len(depths) == 1 else " and ".join(map(str, depths))
        if depths and depths[-1] > 8 and not self._bit_depth.stated:
            facts["bit_depth_detected"] = True
        return facts

    def sizes_hw(self) -> set[tuple[int, int]]:
        """(H, W) of the sequences that have frames; decodes the first of each.

        Raises:
            MediaError: one of these is damaged, where that is to fail, or cannot be read.
        """
        sizes = set()
        for paths in self._folders:
            try:
                sizes.add(self._size_of(paths))
            except _NoneUsableError:
                continue
        return sizes

    def stop(self) -> None:
        """See `FrameSource`."""
        self._stopped = True

    def close(self) -> None:
        """Nothing is held between two images."""

    def __iter__(self) -> Iterator[SourceFrame]:
        """See `FrameSource`."""
        index = given = 0
        prefixes = [f"{name}/" for name in self.sequences] or [""]
        for paths, prefix in zip(self._folders, prefixes, strict=True):
            size_hw: tuple[int, int] | None = None
            for path in paths:
                if self._stopped:
                    return
                stamp_ns = index * _NOMINAL_PERIOD_NS
                index += 1
                file = read_image(path)
                if file.damage is not None and not self.damage.meet(
                    _message(file.damage, path), usable=file.bgr is not None
                ):
                    continue
                assert file.bgr is not None  # or it would be damaged
                image = upright_rgb(file, self._bit_depth, path)
                self._orientations.add(file.orientation)
                height, width, _ = image.shape
                begins = size_hw is None and given > 0
                size_hw = size_hw or (height, width)
                if (height, width) != size_hw:
                    raise MediaError(
                        f"reading images stopped after {index - 1}: the next is {height}x{width}, the first was "
                        f"{size_hw[0]}x{size_hw[1]} (height x width, upright), and one stream has one size: '{path}'"
                    )
                yield SourceFrame(
                    image=image,
                    name=f"{prefix}{path.stem}",
                    stamp_ns=stamp_ns,
                    orientation=file.orientation,
                    begins=begins,
                )
                given += 1

    def _size_of(self, paths: list[Path]) -> tuple[int, int]:
        """Of the first image that can be used."""
        first_damage = ""
        for path in paths:
            file = read_image(path)
            usable = file.damage is None or self.damage.policy is OnDamage.USE
            if file.bgr is not None and usable:
                height, width = file.bgr.shape[:2]
                return (width, height) if file.orientation.swaps_sides else (height, width)
            first_damage = first_damage or _message(file.damage or "", path)
            if self.damage.policy is OnDamage.FAIL:
                raise MediaError(first_damage)
        raise _NoneUsableError(first_damage)


def sequence_folders(folder: Path) -> list[Path]:
    """Sub-folders with images, in natural order, of a folder that holds none itself; none of any other.

    Raises:
        MediaError: a folder cannot be read.
    """
    if _images_in(folder):
        return []
    with told_as(MediaError, "opening the folder"):
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


def largest_sample(paths: list[Path]) -> int:
    """Of the 16-bit images among the first, the last and some between them."""
    count = min(len(paths), _SAMPLED)
    chosen = np.linspace(0, len(paths) - 1, count).round().astype(int)
    images = (read_image(paths[index]).bgr for index in chosen)
    return max((int(bgr.max()) for bgr in images if bgr is not None and bgr.dtype == np.uint16), default=0)


def upright_rgb(file: ImageFile, bit_depth: BitDepth, path: Path) -> npt.NDArray[np.uint8]:
    """The picture of a file that has one, uint8 [H, W, 3], upright; it may take the place of `file.bgr`.

    Raises:
        MediaError: a sample is larger than the depth allows.
    """
    assert file.bgr is not None
    bgr = file.orientation.apply(bit_depth.to_8_bits(file.bgr, str(path)))
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr), dtype=np.uint8)


def _message(damage: str, path: Path) -> str:
    return f"reading an image: {damage}: '{path}'"
