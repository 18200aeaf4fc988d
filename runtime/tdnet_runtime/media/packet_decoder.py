"""From a video's packets to its frames in order, with an account of what is damaged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import av.error
from av.codec.context import Flags
from av.logging import Capture
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tdnet_runtime.closeable import Closeable
from tdnet_runtime.media.damage import DamageLog
from tdnet_runtime.media.decoder_messages import DecoderMessages, first_error
from tdnet_runtime.media.frames import reason

__all__ = ["DecodedFrame", "PacketDecoder"]


class DecodedFrame(NamedTuple):
    """One frame, and its index among all that the packets should give, the damaged ones included."""

    index: int
    frame: VideoFrame


class _Origin(NamedTuple):
    """Where a packet stands in the file; its frame carries it through the decoder's reordering."""

    number: int
    time: int | None


class _Suspect(NamedTuple):
    time: int | None
    why: str


class PacketDecoder(Closeable):
    """Decodes one stream and goes on after damage.

    A frame counts as damaged where its packet is marked so by the container, where its decoder fails, marks
    the frame or complains; later frames that are predicted from it are not counted.

    Args:
        stream: not decoded from before.
        damage: told of every damaged frame; says which are given.
    """

    def __init__(self, stream: VideoStream, damage: DamageLog) -> None:
        self._stream = stream
        self._damage = damage
        self._suspects: dict[int, _Suspect] = {}
        self._index = 0
        self._messages = DecoderMessages()
        stream.codec_context.flags |= int(Flags.copy_opaque)

    def close(self) -> None:
        """Safe to call twice."""
        self._messages.close()

    def frames(self, packets: Iterable[Packet[VideoStream]]) -> Iterator[DecodedFrame]:
        """The frames that are to be given.

        Args:
            packets: of the stream, in the file's order, an empty one at the end. An error of theirs is raised
                when the decoder has given what it holds back.

        Raises:
            MediaError: from `damage`.
        """
        source = enumerate(packets)
        failure: Exception | None = None
        while failure is None:
            try:
                number, packet = next(source)
            except StopIteration:
                break
            except (av.error.FFmpegError, OSError) as error:
                failure = error
                break
            for frame in self._decode(number, packet):
                yield from self._account(frame)
        if failure is not None:
            for frame in self._decode(-1, None):
                yield from self._account(frame)
        self._lose(before=None)
        if failure is not None:
            raise failure

    def _decode(self, number: int, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
        """The frames that one packet sets free; it becomes a suspect where anything speaks of damage."""
        why = None
        time = None
        if packet is not None:
            time = packet.pts if packet.pts is not None else packet.dts
            packet.opaque = _Origin(number, time)
            why = "the container marks its data as damaged" if packet.is_corrupt else None
        frames: list[VideoFrame] = []
        with Capture() as messages:
            try:
                frames = self._stream.decode(packet)
            except (av.error.FFmpegError, OSError) as error:
                why = reason(error)
        why = first_error(messages) or why
        if why is not None and packet is not None and packet.size:
            self._suspects[number] = _Suspect(time, why)
        return frames

    def _account(self, frame: VideoFrame) -> Iterator[DecodedFrame]:
        why = None
        if isinstance(frame.opaque, _Origin):
            self._lose(before=frame.opaque.time)
            suspect = self._suspects.pop(frame.opaque.number, None)
            why = None if suspect is None else suspect.why
        if why is None and frame.is_corrupt:
            why = "the decoder filled in damaged parts"
        index = self._index
        self._index += 1
        if why is None or self._damage.meet(f"frame {index}: {why}", usable=True):
            yield DecodedFrame(index, frame)

    def _lose(self, *, before: int | None) -> None:
        """Give up suspects of an earlier time, or all: nothing came of them."""
        for number, suspect in list(self._suspects.items()):
            if before is None or (suspect.time is not None and suspect.time < before):
                del self._suspects[number]
                index = self._index
                self._index += 1
                self._damage.meet(f"frame {index}: {suspect.why}", usable=False)
