"""The messages that carry pictures and the names of classes, and their CDR form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tdnet_runtime.ros.cdr import CdrReader, CdrWriter

__all__ = ["CompressedImage", "CompressedVideo", "LabelInfo", "RawImage"]

_S = 1_000_000_000
_LEAST_CLASS_BYTES = 6  # uint16, and the length of a string


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RawImage:
    """sensor_msgs/msg/Image, and foxglove.RawImage, which is the same in another order.

    Attributes:
        stamp_ns: of the header.
        frame_id: of the header.
        height: rows.
        width: pixels in a row.
        encoding: what a pixel is, as its sender wrote it; see `tdnet_runtime.ros.encodings`.
        is_bigendian: byte order of samples of more than 8 bits.
        step: bytes from one row to the next.
        data: uint8 [N]; read from a message, it is a view of that.
    """

    stamp_ns: int
    frame_id: str
    height: int
    width: int
    encoding: str
    is_bigendian: bool
    step: int
    data: npt.NDArray[np.uint8]

    @classmethod
    def from_pixels(
        cls, pixels: npt.NDArray[np.uint8], *, encoding: str, stamp_ns: int, frame_id: str
    ) -> RawImage:
        """A message of `pixels`, uint8 [H, W] or [H, W, C], C-contiguous, which it views."""
        height, width = pixels.shape[:2]
        return cls(
            stamp_ns=stamp_ns,
            frame_id=frame_id,
            height=height,
            width=width,
            encoding=encoding,
            is_bigendian=False,
            step=pixels.nbytes // max(height, 1),
            data=pixels.reshape(-1),
        )

    @classmethod
    def from_cdr(cls, data: Any) -> RawImage:
        """Read a sensor_msgs/msg/Image; `data` as for `CdrReader`, viewed, not copied.

        Raises:
            MediaError: it is none.
        """
        reader = CdrReader(data)
        stamp_ns, frame_id = _read_header(reader)
        return cls(
            stamp_ns=stamp_ns,
            frame_id=frame_id,
            height=reader.uint32(),
            width=reader.uint32(),
            encoding=reader.string(),
            is_bigendian=bool(reader.uint8()),
            step=reader.uint32(),
            data=reader.octets(),
        )

    @classmethod
    def from_foxglove_cdr(cls, data: Any) -> RawImage:
        """Read a foxglove_msgs/msg/RawImage; see `from_cdr`."""
        reader = CdrReader(data)
        stamp_ns, frame_id = _read_header(reader)
        width, height = reader.uint32(), reader.uint32()
        return cls(
            stamp_ns=stamp_ns,
            frame_id=frame_id,
            height=height,
            width=width,
            encoding=reader.string(),
            is_bigendian=False,
            step=reader.uint32(),
            data=reader.octets(),
        )

    def to_cdr(self) -> bytes:
        """As a sensor_msgs/msg/Image.

        Raises:
            MediaError: a number does not fit, such as a stamp after 2038.
        """
        writer = CdrWriter()
        _write_header(writer, self.stamp_ns, self.frame_id)
        writer.uint32(self.height)
        writer.uint32(self.width)
        writer.string(self.encoding)
        writer.uint8(self.is_bigendian)
        writer.uint32(self.step)
        writer.octets(self.data)
        return writer.finish()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CompressedImage:
    """sensor_msgs/msg/CompressedImage, and foxglove.CompressedImage: a file of one picture.

    Attributes:
        stamp_ns: of the header.
        frame_id: of the header.
        format: in its sender's words, such as `jpeg` or `rgb8; jpeg compressed bgr8`.
        data: uint8 [N], the file; read from a message, it is a view of that.
    """

    stamp_ns: int
    frame_id: str
    format: str
    data: npt.NDArray[np.uint8]

    @classmethod
    def from_cdr(cls, data: Any) -> CompressedImage:
        """Read a sensor_msgs/msg/CompressedImage; `data` as for `CdrReader`, viewed, not copied.

        Raises:
            MediaError: it is none.
        """
        reader = CdrReader(data)
        stamp_ns, frame_id = _read_header(reader)
        return cls(stamp_ns=stamp_ns, frame_id=frame_id, format=reader.string(), data=reader.octets())

    @classmethod
    def from_foxglove_cdr(cls, data: Any) -> CompressedImage:
        """Read a foxglove_msgs/msg/CompressedImage; see `from_cdr`."""
        reader = CdrReader(data)
        stamp_ns, frame_id = _read_header(reader)
        octets = reader.octets()
        return cls(stamp_ns=stamp_ns, frame_id=frame_id, format=reader.string(), data=octets)

    def to_cdr(self) -> bytes:
        """As a sensor_msgs/msg/CompressedImage.

        Raises:
            MediaError: a number does not fit.
        """
        writer = CdrWriter()
        _write_header(writer, self.stamp_ns, self.frame_id)
        writer.string(self.format)
        writer.octets(self.data)
        return writer.finish()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CompressedVideo:
    """foxglove.CompressedVideo: the packets of one frame of a video.

    Attributes:
        stamp_ns: of the frame.
        frame_id: of the camera's frame of reference.
        format: `h264`, `h265`, `vp9` or `av1`, as its sender wrote it.
        data: uint8 [N], Annex B where the format has it; read from a message, it is a view of that.
    """

    stamp_ns: int
    frame_id: str
    format: str
    data: npt.NDArray[np.uint8]

    @classmethod
    def from_cdr(cls, data: Any) -> CompressedVideo:
        """Read a foxglove_msgs/msg/CompressedVideo; see `RawImage.from_cdr`."""
        reader = CdrReader(data)
        stamp_ns, frame_id = _read_header(reader)
        octets = reader.octets()
        return cls(stamp_ns=stamp_ns, frame_id=frame_id, format=reader.string(), data=octets)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelInfo:
    """vision_msgs/msg/LabelInfo: what the grey values of a label image mean.

    Attributes:
        stamp_ns: of the header.
        frame_id: of the header.
        classes: (id, name) of each.
        threshold: confidence below which the sender gives no label; 0 where it always gives one.
    """

    stamp_ns: int
    frame_id: str
    classes: tuple[tuple[int, str], ...]
    threshold: float = 0.0

    @classmethod
    def from_cdr(cls, data: Any) -> LabelInfo:
        """Read a vision_msgs/msg/LabelInfo; see `RawImage.from_cdr`."""
        reader = CdrReader(data)
        stamp_ns, frame_id = _read_header(reader)
        count = reader.count(_LEAST_CLASS_BYTES)
        classes = tuple((reader.uint16(), reader.string()) for _ in range(count))
        return cls(stamp_ns=stamp_ns, frame_id=frame_id, classes=classes, threshold=reader.float32())

    def to_cdr(self) -> bytes:
        """As a vision_msgs/msg/LabelInfo.

        Raises:
            MediaError: a number does not fit.
        """
        writer = CdrWriter()
        _write_header(writer, self.stamp_ns, self.frame_id)
        writer.uint32(len(self.classes))
        for number, name in self.classes:
            writer.uint16(number)
            writer.string(name)
        writer.float32(self.threshold)
        return writer.finish()


def _read_header(reader: CdrReader) -> tuple[int, str]:
    """(stamp_ns, frame_id) of a std_msgs/msg/Header, or of Foxglove's two fields, which are the same bytes."""
    stamp_ns = reader.int32() * _S + reader.uint32()
    return stamp_ns, reader.string()


def _write_header(writer: CdrWriter, stamp_ns: int, frame_id: str) -> None:
    seconds, nanoseconds = divmod(stamp_ns, _S)
    writer.int32(seconds)
    writer.uint32(nanoseconds)
    writer.string(frame_id)
