"""From label images or colour masks to train ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from tdnet_data.dataset import IGNORE
from tdnet_data.label_images import read_color_mask, read_label_image
from tdnet_runtime.errors import DataError

__all__ = ["LabelReader"]

Labels = npt.NDArray[np.uint8]
Color = tuple[int, int, int]

_UNKNOWN = 254


class LabelReader:
    """Reads labels by a table of ids, or by one of colours.

    Args:
        ids: from labels as stored to train ids or `IGNORE`; others are errors.
        colors: the same from colours R, G, B, for masks; None for label images.
        min_confidence: 0 to 1; labels whose confidence is below it are ignored.
        size_hw: (H, W) to which labels are brought, by the nearest pixel; None for their own.
    """

    def __init__(
        self,
        *,
        ids: Mapping[int, int],
        colors: Mapping[Color, int] | None = None,
        min_confidence: float = 0.0,
        size_hw: tuple[int, int] | None = None,
    ) -> None:
        self._table = np.full(256, _UNKNOWN, np.uint8)
        for stored, train_id in ids.items():
            self._table[stored] = train_id
        self._colors: Labels | None = None
        if colors is not None:
            self._colors = np.full(1 << 24, _UNKNOWN, np.uint8)
            for (red, green, blue), train_id in colors.items():
                self._colors[red << 16 | green << 8 | blue] = train_id
        self._least = 255 * min_confidence
        self._size_hw = size_hw

    def read(self, label: Path, confidence: Path | None) -> Labels:
        """See `LabelReading`.

        Raises:
            MediaError: an image is unreadable.
            DataError: a label or colour is no class, or the confidence has another size.
        """
        labels = self._ids(label) if self._colors is None else self._of_colors(self._colors, label)
        if confidence is not None and self._least > 0:
            sure = read_label_image(confidence)
            if sure.shape != labels.shape:
                raise DataError(
                    f"reading labels: the confidence is {_by(sure)} (height x width), its label image is {_by(labels)}: "
                    f"'{confidence}'"
                )
            labels[sure < self._least] = IGNORE
        if self._size_hw is not None and labels.shape != self._size_hw:
            height, width = self._size_hw
            resized = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
            labels = np.asarray(resized, np.uint8)
        return labels

    def _ids(self, path: Path) -> Labels:
        stored = read_label_image(path)
        labels = np.asarray(cv2.LUT(stored, self._table), np.uint8)
        unknown = labels == _UNKNOWN
        if unknown.any():
            values, counts = np.unique(stored[unknown], return_counts=True)
            known = [value for value in range(256) if self._table[value] != _UNKNOWN]
            raise DataError(
                f"reading labels: {_some(map(str, values), counts)} is no label; expected {_ranges(known)}: '{path}'"
            )
        return labels

    def _of_colors(self, table: Labels, path: Path) -> Labels:
        mask = read_color_mask(path).astype(np.uint32)
        keys = mask[..., 0] << 16 | mask[..., 1] << 8 | mask[..., 2]
        labels: Labels = table[keys]
        unknown = labels == _UNKNOWN
        if unknown.any():
            values, counts = np.unique(keys[unknown], return_counts=True)
            words = (f"{key >> 16} {key >> 8 & 255} {key & 255}" for key in values.tolist())
            raise DataError(
                f"reading labels: the colour {_some(words, counts)} is no class's; list it in the file of names or in "
                f"ignore_colors (a smoothed or JPEG-compressed mask has colours between the classes'): '{path}'"
            )
        return labels


def _some(values: Iterable[str], counts: npt.NDArray[np.intp]) -> str:
    """The most frequent of `values`, with how many pixels have it, and how many others there are."""
    listed = list(values)
    most = int(counts.argmax())
    others = f", and {len(listed) - 1} more," if len(listed) > 1 else ""
    return f"{listed[most]} ({int(counts[most])} pixels){others}"


def _ranges(values: list[int]) -> str:
    """Such as `0 to 10, 255`."""
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def _by(image: Labels) -> str:
    return f"{image.shape[0]}x{image.shape[1]}"
