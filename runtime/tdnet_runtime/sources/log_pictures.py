"""From a log's messages to pictures, whatever they carry."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import MediaError
from tdnet_runtime.extras import require
from tdnet_runtime.media.orientation import Orientation
from tdnet_runtime.ros.decoding import PictureMessage, decoder_for
from tdnet_runtime.ros.messages import CompressedVideo, RawImage
from tdnet_runtime.sources.log_file import LogMessage
from tdnet_runtime.sources.packed_message import DamagedMessageError, unpacked_message

if TYPE_CHECKING:
    from tdnet_runtime.sources.video_packets import VideoPackets  # which imports PyAV

__all__ = ["LogPicture", "LogPictures"]


class LogPicture(NamedTuple):
    """One picture, or why there is none.

    Attributes:
        number: of its message.
        rgb: uint8 [H, W, 3], RGB, upright, an array of its own; None where nothing could be decoded.
        orientation: that made it upright.
        damage: what is wrong with it, in words; None for a whole one, and for one that comes before a video's first
            key frame, which is left out without a word.
        waits: it is left out, and those after it, until a key frame comes.
    """

    number: int
    rgb: npt.NDArray[np.uint8] | None
    orientation: Orientation = Orientation.AS_STORED
    damage: str | None = None
    waits: bool = False


class LogPictures(Closeable):
    """Decodes the messages of one topic, in order.

    Args:
        keeps_going: after a loss in a video decode what is predicted from it, instead of waiting for a key frame.

    Attributes:
        form: encoding or format of the last message, as its sender wrote it.
    """

    def __init__(self, *, keeps_going: bool) -> None:
        self.form = ""
        self._keeps_going = keeps_going
        self._video: VideoPackets | None = None

    @property
    def facts(self) -> dict[str, str]:
        """What a summary tells of a video's colours."""
        return {} if self._video is None else self._video.facts

    @property
    def is_video(self) -> bool:
        """The messages so far were a video's."""
        return self._video is not None

    def close(self) -> None:
        """Safe to call twice."""
        if self._video is not None:
            self._video.close()

    def message(self, message: LogMessage) -> PictureMessage:
        """The message taken apart, unpacked before where rosbag2 packed it.

        Raises:
            MediaError: it is lost, damaged, or holds no picture.
            MissingExtraError: it is packed, and the package for that is missing.
        """
        if message.data is None:
            raise MediaError(message.damage)
        decode = decoder_for(message.type, message.encoding)
        try:
            return decode(unpacked_message(message.data) if message.encoding == "cdr" else message.data)
        except DamagedMessageError as error:
            raise MediaError(str(error)) from error

    def pictures(
        self, picture: PictureMessage, number: int, *, stamp_ns: int, missing: int, by_number: bool
    ) -> list[LogPicture]:
        """The pictures that come of a message: its own, or for a video that of an earlier one, or none.

        Args:
            picture: as `message` gave it.
            number: by which it is known.
            stamp_ns: of the message.
            missing: messages that are thought to be missing before it.
            by_number: that is known by its sender's numbers, not by its stamp alone.

        Raises:
            MediaError: a video in a format that is not read.
            MissingExtraError: a package is missing that its encoding needs.
        """
        if isinstance(picture, CompressedVideo):
            self.form = picture.format
            if self._video is None:
                module = require("tdnet_runtime.sources.video_packets", extra="cli")
                self._video = module.VideoPackets(picture.format, keeps_going=self._keeps_going)
            assert self._video is not None
            return self._video.push(
                number, picture.data, stamp_ns=stamp_ns, missing=missing > 0, by_number=by_number
            )
        try:
            if isinstance(picture, RawImage):
                self.form = picture.encoding
                encodings = require("tdnet_runtime.ros.encodings", extra="cli")
                return [LogPicture(number, encodings.rgb_from_raw(picture))]
            self.form = picture.format
            decoded = require("tdnet_runtime.ros.compressed", extra="cli").rgb_from_compressed(picture)
        except MediaError as error:
            return [LogPicture(number, None, damage=str(error))]
        return [LogPicture(number, decoded.rgb, damage=decoded.damage)]

    def flush(self) -> list[LogPicture]:
        """The pictures that a video's decoder holds back."""
        return [] if self._video is None else self._video.flush()
