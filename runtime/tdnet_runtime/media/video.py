"""Frames from a video file, through PyAV."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.damage import DamageLog, OnDamage
from tdnet_runtime.media.frames import Fact, SourceFrame, reason

__all__ = ["VideoSource"]

_NS = 1_000_000_000
_TOLERANCE_S = Fraction(1, 4)  # by which headers overstate the length of whole files


class VideoSource(Closeable):
    """The first video stream of a file; see `FrameSource`.

    Rotation marks are ignored: pixels are as stored. Reading stops at the first packet that does not
    decode. A file that ends before its header says, or with damage that the decoder patched up, is read
    to its end and then reported.
    """

    def __init__(self, path: Path, *, on_damage: OnDamage = OnDamage.SKIP) -> None:
        self.description = f"video '{path}'"
        self.damage = DamageLog(on_damage)
        self.facts: dict[str, Fact] = {"reader": f"PyAV {av.__version__}", "orientation": "as stored"}
        self._path = path
        self._given = 0
        self._damaged = 0
        self._end_s = Fraction(0)
        self._container = _open_container(path)
        try:
            self._stream = _video_stream(self._container, path)
            frames = self._decode()
            first = next(frames, None)
            if first is None:
                raise MediaError(f"opening the video: there is not a single frame in it: '{path}'")
        except BaseException:
            self._container.close()
            raise
        self._frames = itertools.chain([first], frames)
        self.size_hw: tuple[int, int] = (first.height, first.width)
        self.fps: Fraction | None = self._stream.average_rate or self._stream.base_rate
        self.frame_count: int | None = self._stream.frames or _frames_from_duration(self._container, self.fps)

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        self._container.close()

    def __iter__(self) -> Iterator[SourceFrame]:
        """See `FrameSource`; what was given once is not given again."""
        period_ns = int(_NS / self.fps) if self.fps else 40_000_000
        for frame in self._frames:
            index = self._given
            if (frame.height, frame.width) != self.size_hw:
                raise self._stopped(
                    f"the next one is {frame.height}x{frame.width}, the first was "
                    f"{self.size_hw[0]}x{self.size_hw[1]} (height x width), and one stream has one size"
                )
            stamp_ns = index * period_ns
            if frame.pts is not None and frame.time_base is not None:
                stamp_ns = int(frame.pts * frame.time_base * _NS)
            # Rows of odd widths come padded, hence the copy.
            image = np.ascontiguousarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
            self._given += 1
            yield SourceFrame(image=image, name=f"{index:06d}", stamp_ns=stamp_ns)

    def _decode(self) -> Iterator[VideoFrame]:
        """The decoder's frames; MediaError where they end for another reason than the file's end."""
        try:
            for packet in self._container.demux(self._stream):
                self._note(packet)
                for frame in self._stream.decode(packet):
                    self._damaged += frame.is_corrupt
                    yield frame
        except (av.error.FFmpegError, OSError) as error:
            yield from self._drain()
            raise self._stopped(f"{reason(error)}; the file is damaged or cut short") from error
        missing_s = _promised_end_s(self._stream, self._container.format.name) - self._end_s
        if missing_s > _TOLERANCE_S:
            raise self._stopped(
                f"the file is cut short, {float(missing_s):.1f} s before the end that it claims"
            )
        if self._damaged:
            raise self._stopped(
                f"the file ends, but its data were damaged in {self._damaged} places on the way"
            )

    def _drain(self) -> Iterator[VideoFrame]:
        """Frames that the decoder still holds back for reordering."""
        with contextlib.suppress(av.error.FFmpegError):
            yield from self._stream.decode(None)

    def _note(self, packet: Packet[VideoStream]) -> None:
        self._damaged += packet.is_corrupt
        if packet.pts is not None and packet.time_base is not None:
            end = (packet.pts + (packet.duration or 0)) * packet.time_base
            self._end_s = max(self._end_s, Fraction(end))

    def _stopped(self, why: str) -> MediaError:
        return MediaError(f"reading the video stopped after {self._given} frames: {why}: '{self._path}'")


def _open_container(path: Path) -> InputContainer:
    try:
        # `file:` because FFmpeg takes `a:b.mp4` for a protocol; the list, so that a playlist stays local.
        container = av.open(f"file:{path}", mode="r", options={"protocol_whitelist": "file"})
    except (av.error.FFmpegError, OSError) as error:
        if isinstance(error, OSError):
            raise MediaError(f"opening the video: {reason(error)}: '{path}'") from error
        raise MediaError(
            f"opening the video: not a video that FFmpeg can read, or cut short before its index "
            f"({reason(error)}): '{path}'"
        ) from error
    if container.format.name == "tty":  # FFmpeg renders any *.txt as a terminal's screen
        container.close()
        raise MediaError(f"opening the video: this is a text file: '{path}'")
    return container


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    if not container.streams.video:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise MediaError(f"opening the video: it holds {kinds}, but no pictures: '{path}'")
    return container.streams.video[0]


def _frames_from_duration(container: InputContainer, fps: Fraction | None) -> int | None:
    if fps is None or container.duration is None or container.duration <= 0:
        return None
    return round(container.duration * fps / av.time_base)


def _promised_end_s(stream: VideoStream, format_name: str) -> Fraction:
    """The stream's end by what the file's header says; 0 where it says nothing of worth.

    Only what was written down when the file was made: for other formats FFmpeg gives an estimate.
    """
    if "mov" in format_name and stream.duration is not None and stream.time_base is not None:
        return Fraction(((stream.start_time or 0) + stream.duration) * stream.time_base)
    if "matroska" in format_name:
        tags = [value for key, value in stream.metadata.items() if key.startswith("DURATION")]
        with contextlib.suppress(ValueError, IndexError):
            hours, minutes, seconds = tags[0].split(":")
            return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
    if format_name == "avi" and stream.frames and stream.average_rate:
        return stream.frames / stream.average_rate
    return Fraction(0)
