"""What a video's packets tell of damage that their decoder passes over."""

from __future__ import annotations

from typing import Final

from av.packet import Packet
from av.video.stream import VideoStream

from tdnet_runtime.media.h264_numbers import H264Numbers

__all__ = ["SilentDamage"]

_END_OF_IMAGE: Final = b"\xff\xd9"  # no two bytes of a JPEG's coded pixels are these
_END_BYTES: Final = 64
_BEGIN_BYTES: Final = 8192  # of a packet, in which its first slice begins


class SilentDamage:
    """Looks at the packets of one stream, each once and in the file's order.

    Args:
        stream: as opened.
        marks_early: the container's marks of damage come with the packet before the damaged one, as FFmpeg's
            parsers have it (8.0) that cut MPEG-TS into frames.

    Attributes:
        marked: the container marks the last packet as damaged.
    """

    def __init__(self, stream: VideoStream, *, marks_early: bool) -> None:
        context = stream.codec_context
        self._numbers = H264Numbers(context.extradata or b"") if context.name == "h264" else None
        self._is_jpeg = context.name == "mjpeg"
        self._has_ends = False
        self._marks_early = marks_early
        self._marks_next = False
        self.marked = False
        self._last_dts: int | None = None
        self._shortest_step: int | None = None

    def of(self, packet: Packet[VideoStream], *, known: bool) -> str | None:
        """What is wrong with a packet, or None.

        Args:
            packet: the next one, not empty.
            known: damage of its group of pictures has been told already, from which gaps follow.
        """
        marked = packet.is_corrupt
        if self._marks_early:
            marked, self._marks_next = self._marks_next, marked
        self.marked = marked
        if marked:
            return "the container marks its data as damaged"
        if self._is_jpeg:
            ended = _END_OF_IMAGE in bytes(packet).rstrip(b"\0")[-_END_BYTES:]
            self._has_ends |= ended
            if self._has_ends and not ended:  # cameras that never write the mark leave nothing to tell
                return "its end is missing"
        if self._numbers is not None:
            gap = self._numbers.follows_gap(bytes(memoryview(packet)[:_BEGIN_BYTES]))
            # Some encoders count wrongly or begin anew, so time has to tell the same.
            if self._is_late(packet) and gap and not known:
                return "pictures before it are missing"
        return None

    def _is_late(self, packet: Packet[VideoStream]) -> bool:
        """The step from the packet before is half as long again as the shortest step so far, or more."""
        last, self._last_dts = self._last_dts, packet.dts
        if last is None or packet.dts is None:
            return False
        step, shortest = packet.dts - last, self._shortest_step
        if step > 0:
            self._shortest_step = min(step, shortest or step)
        return shortest is not None and 2 * step >= 3 * shortest
