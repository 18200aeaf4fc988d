"""From a video's packets to its frames in order, with an account of what is damaged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import av.error
from av.logging import Capture
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tdnet_runtime.closeable import Closeable
from tdnet_runtime.media.damage import DamageLog
from tdnet_runtime.media.decoder_messages import DecoderMessages, first_error
from tdnet_runtime.media.frames import reason
from tdnet_runtime.media.silent_damage import SilentDamage

__all__ = ["DecodedFrame", "PacketDecoder"]

# With threads for slices FFmpeg's H.264 decoder (8.0) neither marks nor conceals what is lost, and what other threads
# complain of is not heard: by chance the same file had 4 or 10 damaged frames.
_OWN_THREADS = ("libdav1d",)  # which leaves out what it cannot decode
_MOST_MISSED = 500
_NO_PLACE = -1
_GROUPS_KEPT = 64  # more than packets without an answer belong to
_LONGEST_REORDERING = 17  # H.264 and HEVC hold back 16 frames at most


class DecodedFrame(NamedTuple):
    """One frame, and its number from 0 among all that the packets should give, the damaged ones included."""

    number: int
    frame: VideoFrame


class _Sent(NamedTuple):
    """A packet that no frame has come of yet.

    Attributes:
        place: in the file; `_NO_PLACE` where the file lost it.
        time: of presentation, by which its frame is known, in the stream's ticks.
        group: of the keyframe that it depends on.
        damage: what is wrong with its data.
    """

    place: int
    time: int | None
    group: int
    damage: str | None


class PacketDecoder(Closeable):
    """Decodes one stream and goes on after damage.

    A frame counts as damaged where the container marks its packet so, where its decoder fails, marks the
    frame or complains, where no frame comes of its packet after that, up to the next keyframe, and where its
    data tell what decoders keep silent about: a JPEG without its end, an H.264 picture whose reference is
    missing. Later frames that are predicted from a damaged one and do come are not counted.

    Args:
        stream: not decoded from before.
        damage: told of every damaged frame; says which are given.
        marks_early: see `SilentDamage`.
        times_as_stored: the container numbers packets as they are stored, which says nothing of their frames'
            order; a frame that is lost is then told up to 16 frames late.
    """

    def __init__(
        self,
        stream: VideoStream,
        damage: DamageLog,
        *,
        marks_early: bool = False,
        times_as_stored: bool = False,
    ) -> None:
        self._times_as_stored = times_as_stored
        self._packets = 0
        self._stream = stream
        self._silent = SilentDamage(stream, marks_early=marks_early)
        self._damage = damage
        self._sent: list[_Sent] = []
        self._group = 0
        self._troubled: dict[int, str] = {}
        self._number = 0
        self._latest: int | None = None  # of the packets' times
        self._marked: str | None = None  # the packet before, by the container
        self._messages = DecoderMessages()
        context = stream.codec_context
        context.options = {"err_detect": "crccheck"}  # reported, where the data hold checksums
        if context.codec.name not in _OWN_THREADS:
            context.thread_count = 1

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
        failure: Exception | None = None
        source = iter(packets)
        while failure is None:
            try:
                packet = next(source)
            except StopIteration:
                break
            except (av.error.FFmpegError, OSError) as error:
                failure = error
            else:
                yield from self._accounted(self._decode(packet))
        if failure is not None:
            yield from self._accounted(self._decoded(None)[0])
        self._give_up(before=None)
        if failure is not None:
            raise failure

    def _decode(self, packet: Packet[VideoStream]) -> list[VideoFrame]:
        before = self._group
        if packet.is_keyframe:
            self._group += 1
        frames, failure, complaint = self._decoded(packet)
        silent = self._silent.of(packet, known=self._group in self._troubled) if packet.size else None
        damage = complaint or silent
        if failure or damage:
            trouble = complaint or failure or str(damage)
            self._troubled[self._group] = self._troubled[before] = trouble  # dav1d tells of it a packet late
            for group in [group for group in self._troubled if group < self._group - _GROUPS_KEPT]:
                del self._troubled[group]  # a camera runs for days
        if packet.pts is not None:
            self._find_again(packet)
            marked = silent if self._silent.marked else None
            why = (
                packet.opaque or marked or self._marked
            )  # the hole is before or behind what is left of a frame
            self._marked = marked
            if why is not None:
                self._miss(packet.pts, packet.duration or 0, group=before, why=str(why))
            self._latest = max(packet.pts, self._latest or packet.pts)
        self._packets += 1
        if packet.size and not packet.is_discard:
            self._sent.append(_Sent(self._packets, packet.pts, self._group, damage))
        return frames

    def _miss(self, time: int, step: int, *, group: int, why: str) -> None:
        """Take frames for sent that a damaged container has no packets of: as many as fit between the latest and `time`."""
        if self._latest is None or step <= 0:
            return
        times = range(self._latest + step, time - step // 2, step)
        if len(times) <= _MOST_MISSED:  # more is a jump in time, as where recordings were joined
            self._troubled[group] = why
            self._sent += [_Sent(_NO_PLACE, missed, group, None) for missed in times]

    def _find_again(self, packet: Packet[VideoStream]) -> None:
        """A packet that comes after those that need it was not missing."""
        slack = (packet.duration or 0) // 2
        self._sent = [
            sent
            for sent in self._sent
            if sent.place != _NO_PLACE or abs((sent.time or 0) - (packet.pts or 0)) > slack
        ]

    def _decoded(self, packet: Packet[VideoStream] | None) -> tuple[list[VideoFrame], str | None, str | None]:
        """Frames, why there are none, and what the decoder complains of."""
        failure = None
        frames: list[VideoFrame] = []
        with Capture() as messages:
            try:
                frames = self._stream.decode(packet)
            except (av.error.FFmpegError, OSError) as error:
                failure = reason(error)
        return frames, failure, first_error(messages)

    def _accounted(self, frames: Iterable[VideoFrame]) -> Iterator[DecodedFrame]:
        for frame in frames:
            damage = self._damage_of(frame)
            if frame.pts is not None:
                self._give_up(before=frame.pts)
            number = self._number
            self._number += 1
            if damage is None or self._damage.meet(f"frame {number} is damaged ({damage})", usable=True):
                yield DecodedFrame(number, frame)

    def _damage_of(self, frame: VideoFrame) -> str | None:
        """What is wrong with a frame; its packet has been answered."""
        own = [sent for sent in self._sent if sent.time == frame.pts]
        own = own or [sent for sent in self._sent if sent.time is None]  # some files name no times
        filled_in = "the decoder filled in for it" if frame.is_corrupt else None
        if not own:
            return filled_in
        self._sent.remove(own[0])
        return own[0].damage or filled_in

    def _give_up(self, *, before: int | None) -> None:
        """No frame will come of packets of an earlier time, or of any where None."""
        pending: list[_Sent] = []
        for sent in self._sent:
            may_come = before is not None and (sent.time is None or sent.time >= before)
            if before is not None and self._times_as_stored:
                may_come = sent.place > self._packets - _LONGEST_REORDERING
            if may_come:
                pending.append(sent)
            # In a whole group it may be half of a frame, or a picture that is not meant to be shown.
            elif sent.group in self._troubled:
                number = self._number
                self._number += 1
                why = sent.damage or self._troubled[sent.group]
                self._damage.meet(f"frame {number} is lost ({why})", usable=False)
        self._sent = pending
