"""Frames from a video file, through PyAV."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import MediaError
from tdnet_runtime.forks import ForkBound
from tdnet_runtime.media.damage import DamageLog, OnDamage
from tdnet_runtime.media.display_matrix import display_matrix, orientation_from_matrix
from tdnet_runtime.media.frames import Fact, SourceFrame, reason
from tdnet_runtime.media.orientation import Orientation
from tdnet_runtime.media.packet_decoder import DecodedFrame, PacketDecoder
from tdnet_runtime.media.time_stamps import TimeStamps
from tdnet_runtime.media.video_colors import RgbConverter
from tdnet_runtime.media.video_file import (
    best_stream,
    empty_chunks_at_end,
    expected_frames,
    frame_rate,
    listed_packets,
    look_ahead,
    open_container,
    promised_end_s,
)

__all__ = ["VideoSource"]

_REMEDY = "copy it again, or go on with what came"
_TOLERANCE_S = Fraction(1, 4)  # by which headers overstate the length of whole files


class VideoSource(Closeable, ForkBound):
    """The best video stream of a file, as FFmpeg chooses; see `FrameSource`.

    Frames come upright, turned and mirrored by the file's display matrix, in RGB by the file's own colour
    tags. Reading goes on after damage as `on_damage` says. A file that ends before its header says is read
    to its end and then reported.

    Args:
        path: of the file.
        on_damage: what becomes of damaged frames.

    Raises:
        MediaError: not a video, without a single frame, or one of colours or a rotation that cannot be followed.
    """

    fork_error = MediaError
    live = False

    def __init__(self, path: Path, *, on_damage: OnDamage = OnDamage.SKIP) -> None:
        self.description = f"video '{path}'"
        self.damage = DamageLog(on_damage)
        self._path = path
        self._given = 0
        self._asked_to_stop = False
        self._packets = 0
        self._end = 0  # of the last packet so far, in the stream's ticks
        self._decoding_times = array("q")
        self._ended_early = False  # by the container's reader
        self._rgb = RgbConverter()
        self._orientations: dict[tuple[float, float, float, float], tuple[Orientation, str]] = {}
        self._decoder: PacketDecoder | None = None
        self._container = open_container(path)
        try:
            self._stream = stream = best_stream(self._container, path)
            self._promised_s = promised_end_s(self._container, stream)
            self._lacks_times = self._container.format.name == "avi"  # FFmpeg counts its chunks instead
            self._decoder = PacketDecoder(
                stream,
                self.damage,
                marks_early=self._container.format.name == "mpegts",
                times_as_stored=self._lacks_times and stream.codec_context.has_b_frames,
            )
            ahead, packets = look_ahead(self._container, stream)
            self.fps: Fraction | None = frame_rate(stream, ahead)
            self.frame_count: int | None = expected_frames(self._container, stream, self.fps)
            self._stamps = TimeStamps(self.fps)
            frames = self._decode(self._decoder, packets)
            first = next(frames, None)
            if first is None:
                examples = f" ({self.damage.examples[0]})" if self.damage.examples else ""
                raise MediaError(f"opening the video: there is not a single frame in it{examples}: '{path}'")
            _, self.size_hw = self._upright(first.frame)
        except BaseException:
            self.close()
            raise
        self._frames = itertools.chain([first], frames)

    def stop(self) -> None:
        """See `FrameSource`."""
        self._asked_to_stop = True

    def close(self) -> None:
        """Close the file. Safe to call twice; nothing in a forked child."""
        if self.stranded:
            return
        if self._decoder is not None:
            self._decoder.close()
        self._container.close()

    def __iter__(self) -> Iterator[SourceFrame]:
        """See `FrameSource`; what was given once is not given again."""
        self.require_own_process("reading frames")
        aspect = self._stream.sample_aspect_ratio or Fraction(1)
        for number, frame in self._frames:
            if self._asked_to_stop:
                return
            orientation, size_hw = self._upright(frame)
            if size_hw != self.size_hw:
                raise self._stopped(
                    f"the next one is {size_hw[0]}x{size_hw[1]}, the first was "
                    f"{self.size_hw[0]}x{self.size_hw[1]} (height x width), and one stream has one size"
                )
            try:
                stored = self._rgb(frame)
            except (MediaError, av.error.FFmpegError, OSError) as error:
                raise self._stopped(reason(error)) from error
            if self._lacks_times and number < len(self._decoding_times):
                # Frames stored in another order come with guesses that run to and fro.
                frame.pts = self._decoding_times[number]
            image = SourceFrame(
                image=orientation.apply(stored),
                name=f"{number:06d}",
                stamp_ns=self._stamps.next(frame),
                orientation=orientation,
                duration_ns=self._stamps.duration_ns(frame),
                pixel_aspect=1 / aspect if orientation.swaps_sides else aspect,
            )
            self._given += 1
            yield image
            self.require_own_process("reading frames")

    @property
    def facts(self) -> dict[str, Fact]:
        """See `FrameSource`."""
        stream, videos = self._stream, len(self._container.streams.video)
        version = ".".join(map(str, av.library_versions["libavcodec"]))
        words = {words for _, words in self._orientations.values()}
        facts: dict[str, Fact] = {
            "reader": f"PyAV {av.__version__}, libavcodec {version}",
            "stream": f"{stream.index}, {stream.codec_context.codec.canonical_name}"
            + (f", the best of {videos} video streams" if videos > 1 else ""),
            "orientation": words.pop() if len(words) == 1 else "mixed",
            **self._rgb.facts,
            **self._stamps.facts,
        }
        if self.fps is not None:
            facts["mean_fps"] = round(float(self.fps), 4)
        if stream.sample_aspect_ratio not in (None, 0, 1):
            facts["pixel_aspect_as_stored"] = str(stream.sample_aspect_ratio)
        for tag, value in stream.metadata.items():
            if tag.lower() == "rotate" or "_rota-" in value.lower():
                facts["mark_not_followed"] = f"{tag}: {value}"
        return facts

    def _upright(self, frame: VideoFrame) -> tuple[Orientation, tuple[int, int]]:
        """What makes a frame upright, and its (H, W) then."""
        try:
            matrix = display_matrix(frame)
            if matrix not in self._orientations:
                self._orientations[matrix] = orientation_from_matrix(matrix)
        except MediaError as error:
            raise self._stopped(str(error)) from None
        orientation, _ = self._orientations[matrix]
        size_hw = frame.height, frame.width
        return orientation, size_hw[::-1] if orientation.swaps_sides else size_hw

    def _decode(
        self, decoder: PacketDecoder, packets: Iterator[Packet[VideoStream]]
    ) -> Iterator[DecodedFrame]:
        """The decoder's frames; MediaError where they end for another reason than the file's end."""
        try:
            yield from decoder.frames(map(self._noted, packets))
        except (av.error.FFmpegError, OSError) as error:
            raise self._stopped(f"{reason(error)}; the file is damaged or cut short") from error
        except MediaError as error:
            raise self._stopped(str(error)) from error
        missing_s = self._promised_s - self._end * (self._stream.time_base or 0)
        half_s = 0 if self.fps is None else 1 / (2 * self.fps)
        may_miss_s = half_s if self._ended_early else _TOLERANCE_S
        if missing_s > may_miss_s and self._container.format.name == "avi" and self._stream.average_rate:
            missing_s -= empty_chunks_at_end(self._stream, self._path) / self._stream.average_rate
        if missing_s > may_miss_s:
            raise self._stopped(
                f"the file is cut short, {float(missing_s):.1f} s before the end that it claims; {_REMEDY}"
            )
        listed = listed_packets(self._container, self._stream)
        if self._packets < listed:
            raise self._stopped(
                f"{self._packets} of the {listed} pictures that its index lists are there; "
                f"the file is damaged or cut short; {_REMEDY}"
            )

    def _noted(self, packet: Packet[VideoStream]) -> Packet[VideoStream]:
        self._ended_early |= not packet.size and packet.opaque is not None
        self._packets += packet.size > 0
        late_s = (packet.pts or 0) * (self._stream.time_base or 0) - self._promised_s
        # A time far behind the end that is promised is damage, and tells nothing of what came.
        if packet.pts is not None and (late_s <= _TOLERANCE_S or not self._promised_s):
            self._end = max(self._end, packet.pts + (packet.duration or 0))
        if packet.size and packet.dts is not None and not packet.is_discard:
            self._decoding_times.append(packet.dts)
            self._lacks_times |= packet.pts is None
        return packet

    def _stopped(self, why: str) -> MediaError:
        return MediaError(f"reading the video stopped after {self._given} frames: {why}: '{self._path}'")
