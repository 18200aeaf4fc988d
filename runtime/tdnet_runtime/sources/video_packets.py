"""A video that comes as one message for each frame (foxglove.CompressedVideo), to pictures."""

from __future__ import annotations

from typing import Any

import av
import av.error
import numpy as np
import numpy.typing as npt
from av.logging import Capture
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.decoder_messages import DecoderMessages, first_error
from tdnet_runtime.media.display_matrix import display_matrix, orientation_from_matrix
from tdnet_runtime.media.frames import reason
from tdnet_runtime.media.h264_numbers import H264Numbers
from tdnet_runtime.media.video_colors import RgbConverter
from tdnet_runtime.sources.log_pictures import LogPicture

__all__ = ["VideoPackets"]

_DECODERS = {
    "h264": ("h264",),
    "h265": ("hevc",),
    "hevc": ("hevc",),
    "vp9": ("vp9",),
    "av1": ("libdav1d", "libaom-av1"),  # FFmpeg's own needs a GPU
}
_HEAD_BYTES = 8192  # in which a packet's parameter sets and its first slice begin
_SILENT = ("vp9", "av1")  # whose decoders and numbers tell nothing of a picture that is missing
_HELD_BACK = 64  # messages: more than any decoder
_FILLED_IN = "the decoder filled in for it"
_WHY_LOST = "pictures before it are missing"
_WHY_EMPTY = "it is empty"


class VideoPackets(Closeable):
    """Decodes messages in order; begins, and begins anew after a loss, with a key frame.

    Args:
        format: of the messages: `h264`, `h265`, `vp9` or `av1`.
        keeps_going: after a loss decode what is predicted from it, instead of waiting for a key frame.

    Raises:
        MediaError: another format, or this PyAV has no decoder for it.
    """

    def __init__(self, format: str, *, keeps_going: bool = False) -> None:
        self._format = format.strip().lower()
        decoders = _DECODERS.get(self._format)
        if decoders is None:
            raise MediaError(f"its video is {format[:40]!r}; expected {', '.join(dict.fromkeys(_DECODERS))}")
        self._waiting = True
        self._began = False
        self._key = 0  # number of the last key frame
        self._told: set[int] = set()
        self._keeps_going = keeps_going
        self._empty = False  # the last message
        self._numbers = H264Numbers(b"")
        self._last_ns: int | None = None
        self._shortest_ns: int | None = None
        self._rgb = RgbConverter()
        self._damage: dict[int, str] = {}  # by message
        context = _context(decoders)
        if context is None:
            raise MediaError(f"this PyAV has no decoder for {format[:40]!r}")
        context.thread_count = 1  # with more, a picture comes as many messages late
        context.options = {"err_detect": "crccheck"}
        self._context = context
        self._messages = DecoderMessages()

    @property
    def facts(self) -> dict[str, str]:
        """Pixel format, colour matrix and range."""
        return self._rgb.facts

    def close(self) -> None:
        """Safe to call twice."""
        self._messages.close()

    def push(
        self, number: int, data: npt.NDArray[np.uint8], *, stamp_ns: int, missing: bool, by_number: bool
    ) -> list[LogPicture]:
        """Decode the next message; the pictures that come of it and of those before.

        Args:
            number: by which its picture is known.
            data: uint8 [N], the packet; one without a byte, as encoders send that leave a picture out, is damaged.
            stamp_ns: of the message.
            missing: messages before it are thought to be missing.
            by_number: that is known by its sender's numbers, not by its stamp alone.
        """
        head = data[:_HEAD_BYTES].tobytes()
        follows_empty, self._empty = self._empty, not head
        if self._format == "h264":
            gap = self._numbers.follows_gap(head)
        else:
            gap = self._format in _SILENT and (missing or follows_empty)
        lost = (missing and by_number) or ((self._is_late(stamp_ns) or follows_empty) and gap)
        if _is_key(self._format, head):
            self._waiting, self._began, self._key = False, True, number
            self._told = {told for told in self._told if told > number - _HELD_BACK}
        elif lost and self._began and not self._waiting:
            self._waiting = not self._keeps_going
            if self._keeps_going:
                self._damage[number] = _WHY_LOST
        if self._waiting:
            return [LogPicture(number, None, damage=_WHY_LOST if self._began else None, waits=True)]
        if self._empty:
            # To a decoder it would say that the video ends.
            return [LogPicture(number, None, damage=_WHY_EMPTY)]
        packet = Packet(data.tobytes())
        packet.pts = number
        return self._decoded(packet, number)

    def _is_late(self, stamp_ns: int) -> bool:
        """The step from the message before is half as long again as the shortest step so far, or more."""
        last_ns, self._last_ns = self._last_ns, stamp_ns
        if last_ns is None:
            return False
        step_ns, shortest_ns = stamp_ns - last_ns, self._shortest_ns
        self._shortest_ns = step_ns if shortest_ns is None else min(step_ns, shortest_ns)
        return shortest_ns is not None and 2 * step_ns >= 3 * shortest_ns

    def flush(self) -> list[LogPicture]:
        """The pictures that the decoder holds back."""
        return self._decoded(None, -1)

    def _decoded(self, packet: Any, number: int) -> list[LogPicture]:
        frames: list[VideoFrame] = []
        failure = None
        ended = packet is None
        with Capture() as messages:
            try:
                frames = self._context.decode(packet)
            except (av.error.FFmpegError, OSError) as error:
                failure = reason(error)
                ended |= isinstance(error, EOFError)
        if ended:
            self._context.flush_buffers()  # else it takes nothing more
        complaint = failure or first_error(messages)
        pictures = []
        if complaint is not None and packet is not None:
            self._waiting = not self._keeps_going
            if self._waiting or failure is not None:
                self._told.add(number)  # a picture may come of it all the same
                pictures.append(LogPicture(number, None, damage=complaint, waits=self._waiting))
            else:
                self._damage[number] = complaint
        for frame in frames:
            if frame.pts in self._told:
                self._told.discard(frame.pts)
            else:
                pictures.append(self._picture(frame))
        return pictures

    def _picture(self, frame: VideoFrame) -> LogPicture:
        number = -1 if frame.pts is None else frame.pts
        damage = self._damage.pop(number, None) or (_FILLED_IN if frame.is_corrupt else None)
        waits = damage is not None and not self._keeps_going
        self._waiting |= waits and number >= self._key
        try:
            orientation, _ = orientation_from_matrix(display_matrix(frame))
            rgb = orientation.apply(self._rgb(frame))
        except (av.error.FFmpegError, OSError) as error:
            raise MediaError(reason(error)) from error
        return LogPicture(number, rgb, orientation, damage, waits=waits)


def _context(decoders: tuple[str, ...]) -> VideoCodecContext | None:
    """Of the first decoder that this PyAV has."""
    for name in decoders:
        try:
            context = av.CodecContext.create(name, "r")
        except av.codec.codec.UnknownCodecError:
            continue
        assert isinstance(context, VideoCodecContext)
        return context
    return None


def _is_key(format: str, head: bytes) -> bool:
    """A packet from which decoding can begin."""
    if format == "vp9":
        return len(head) > 0 and _vp9_is_key(head[0])
    if format == "av1":
        return _av1_has_sequence(head)
    kinds = [head[at + 3] for at in _starts(head) if at + 3 < len(head)]
    if format == "h264":
        units = {kind & 31 for kind in kinds}
        return 5 in units or {6, 7} <= units  # an IDR picture, or parameters with a recovery point
    return any(16 <= kind >> 1 & 63 <= 21 for kind in kinds)


def _starts(head: bytes) -> list[int]:
    """Places of the start codes."""
    places, at = [], head.find(b"\0\0\1")
    while at >= 0:
        places.append(at)
        at = head.find(b"\0\0\1", at + 3)
    return places


def _vp9_is_key(first: int) -> bool:
    """By the first byte of the uncompressed header: marker, profile, show_existing_frame, frame_type."""
    profile = (first >> 5 & 1) | (first >> 4 & 1) << 1
    at = 3 if profile < 3 else 2  # profile 3 has a reserved bit behind it
    shows_existing, inter = first >> at & 1, first >> (at - 1) & 1
    return first >> 6 == 2 and not shows_existing and not inter


def _av1_has_sequence(head: bytes) -> bool:
    """A sequence header, which comes with each key frame, is among the OBUs."""
    at = 0
    while at < len(head):
        kind, has_size, extended = head[at] >> 3 & 15, head[at] >> 1 & 1, head[at] >> 2 & 1
        if kind == 1:
            return True
        at += 1 + extended
        size, shift = 0, 0
        while has_size and at < len(head):
            size |= (head[at] & 127) << shift
            shift += 7
            at += 1
            if not head[at - 1] & 128:
                break
        if not has_size:
            return False
        at += size
    return False
