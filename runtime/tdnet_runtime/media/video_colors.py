"""From a decoder's pixels to RGB, by the matrix and the range that the video names."""

from __future__ import annotations

from typing import Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, VideoReformatter

from tdnet_runtime.errors import MediaError

__all__ = ["RgbConverter"]

# By the numbers of ITU-T H.273, which FFmpeg uses: name, and swscale's own number (PyAV 17.0 names not all).
_BT601: Final = ("BT.601", 5)
_MATRICES: Final = {
    1: ("BT.709", 1),
    4: ("FCC", 4),
    5: _BT601,
    6: _BT601,
    7: ("SMPTE 240M", 7),
    9: ("BT.2020", 9),
}
_UNTAGGED: Final = (0, 2, 3)  # "RGB", "unspecified" and "reserved": none says how YUV is meant
_REFUSED: Final = {8: "YCgCo", 10: "BT.2020 constant luminance", 14: "ICtCp"}
_TRANSFERS: Final = {16: "PQ", 18: "HLG"}
# Without whole colour samples in each row, 10 bits come out two levels too dark (swscale of FFmpeg 8.0).
_INTERPOLATION: Final = 0x2 | 0x2000  # SWS_BILINEAR, SWS_FULL_CHR_H_INT
_THREADS: Final = 2  # the other cores are the network's
_LIMITED, _FULL = int(ColorRange.MPEG), int(ColorRange.JPEG)
_GREY_FROM_LIMITED = np.clip((np.arange(256) - 16) * (255 / 219) + 0.5, 0, 255).astype(np.uint8)


class _Tags(NamedTuple):
    """What decides how a frame is converted, as FFmpeg gives it."""

    pixel_format: str
    matrix: int
    range: int
    transfer: int


class _Rule(NamedTuple):
    """How frames of some tags are converted, and the facts about it."""

    matrix: int
    range: int
    expands_grey: bool
    facts: dict[str, str]


class RgbConverter:
    """Converts frames of one video; everything is stated, so that no version of FFmpeg decides.

    Untagged YUV is taken for BT.601, limited range, as FFmpeg and OpenCV do at every size. The transfer
    function stays as it is: PQ and HLG are not tone-mapped.
    """

    def __init__(self) -> None:
        self._rules: dict[_Tags, _Rule] = {}
        self._reformatter = VideoReformatter()

    def __call__(self, frame: VideoFrame) -> npt.NDArray[np.uint8]:
        """The frame as uint8 [H, W, 3], RGB, C-contiguous, as stored; the receiver's own.

        Raises:
            MediaError: the colours are of a kind that FFmpeg does not convert.
        """
        tags = _Tags(frame.format.name, frame.colorspace, frame.color_range, frame.color_trc)
        rule = self._rules.get(tags)
        if rule is None:
            rule = self._rules[tags] = _rule(frame, tags)
        rgb = self._reformatter.reformat(
            frame,
            format="rgb24",
            interpolation=_INTERPOLATION,
            src_colorspace=rule.matrix,
            src_color_range=rule.range,
            dst_color_range=_FULL,
            threads=_THREADS,
        )
        # Rows of odd widths come padded, hence the copy.
        image = np.ascontiguousarray(rgb.to_ndarray(), dtype=np.uint8)
        return np.asarray(cv2.LUT(image, _GREY_FROM_LIMITED), np.uint8) if rule.expands_grey else image

    @property
    def facts(self) -> dict[str, str]:
        """Matrix, range and pixel format of the frames so far, in words; several are set apart by ` / `."""
        found: dict[str, dict[str, None]] = {}
        for rule in self._rules.values():
            for name, value in rule.facts.items():
                found.setdefault(name, {})[value] = None
        return {name: " / ".join(values) for name, values in found.items()}


def _rule(frame: VideoFrame, tags: _Tags) -> _Rule:
    facts = {"pixel_format": tags.pixel_format}
    if tags.transfer in _TRANSFERS:
        facts["color_transfer"] = f"{_TRANSFERS[tags.transfer]}, not tone-mapped"
    grey = tags.pixel_format.startswith(("gray", "mono", "ya"))
    if frame.format.is_rgb or frame.format.has_palette or grey:
        limited = grey and tags.range == _LIMITED  # swscale takes every grey for full range
        facts |= {"color_matrix": "none", "color_range": "limited" if limited else "full"}
        return _Rule(_BT601[1], _FULL, limited, facts)
    if tags.matrix in _MATRICES:
        name, matrix = _MATRICES[tags.matrix]
    elif tags.matrix in _UNTAGGED:
        name, matrix = "BT.601 (assumed: untagged)", _BT601[1]
    else:
        kind = _REFUSED.get(tags.matrix, f"number {tags.matrix} of ITU-T H.273")
        raise MediaError(
            f"its colours are {kind}, which FFmpeg does not convert to RGB; expected one of "
            f"{', '.join(dict.fromkeys(name for name, _ in _MATRICES.values()))}"
        )
    # `yuvj420p` and its kind are full range by their names, whatever the tag says.
    full = tags.range == _FULL or tags.pixel_format.startswith("yuvj")
    assumed = " (assumed: untagged)" if not full and tags.range != _LIMITED else ""
    facts |= {"color_matrix": name, "color_range": "full" if full else f"limited{assumed}"}
    return _Rule(matrix, _FULL if full else _LIMITED, False, facts)
