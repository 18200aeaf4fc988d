"""Frames from a network camera, through PyAV."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from fractions import Fraction

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import MediaError
from tdnet_runtime.forks import ForkBound
from tdnet_runtime.media.damage import DamageLog
from tdnet_runtime.media.display_matrix import display_matrix, orientation_from_matrix
from tdnet_runtime.media.frames import Fact, SourceFrame, reason
from tdnet_runtime.media.packet_decoder import PacketDecoder
from tdnet_runtime.media.video_colors import RgbConverter
from tdnet_runtime.sources.freshness import Freshness
from tdnet_runtime.sources.registry import SourceOptions
from tdnet_runtime.sources.source_url import SourceUrl

__all__ = ["NetworkSource"]

_OPEN_S, _READ_S = 10.0, 5.0  # without them FFmpeg (8.0) waits for ever for a camera that was cut off
_KEYFRAME_S = 15.0
_NS = 1_000_000_000
_OPTIONS = {"rtsp_transport": "tcp", "fflags": "nobuffer", "analyzeduration": "1000000"}
_PROTOCOLS = {  # what an address may lead on to: never to files of this machine
    "rtsp": "rtsp,rtp,udp,tcp",
    "rtsps": "rtsps,rtsp,rtp,udp,tcp,tls,srtp",
    "http": "http,tcp",
    "https": "https,http,tls,tcp",
    "udp": "udp",
}


class NetworkSource(Closeable, ForkBound):
    """A network camera's newest frames, without end; see `FrameSource`.

    RTSP comes over TCP. What arrived while nobody asked is passed over, as is the second of old frames with which such a
    connection begins. A stream that ends is a camera that was lost, and an error; whoever reads opens it again.
    `stamp_ns` is the time of arrival.

    Args:
        url: `rtsp://`, `rtsps://`, `http://`, `https://` or `udp://`; all of it goes to FFmpeg.
        options: `on_damage` counts.

    Raises:
        MediaError: nobody answers within 10 s, there is no video, or no key frame within 15 s.
    """

    fork_error = MediaError
    live = True
    fps: Fraction | None = None
    frame_count: int | None = None

    def __init__(self, url: SourceUrl, options: SourceOptions) -> None:
        self.description = f"network camera {url.shown}"
        self.damage = DamageLog(options.on_damage)
        self._stopped = False
        self._given = self._passed_over = self._stale = 0
        self._turned: set[str] = set()
        self._rgb = RgbConverter()
        self._decoder: PacketDecoder | None = None
        self._waited_ns = 0  # for the packets since the last frame
        self._container = _open(url, self.description)
        try:
            stream = self._container.streams.best("video")
            if not isinstance(stream, VideoStream) or stream.codec_context is None:
                raise MediaError(
                    f"opening the {self.description}: there is no video in it that can be decoded"
                )
            self._stream = stream
            self._decoder = PacketDecoder(stream, self.damage)
            rate = stream.guessed_rate or stream.average_rate
            self._freshness = Freshness(rate if rate and 1 <= rate <= 240 else None)
            frames = self._read(self._decoder)
            first = next(frames, None)
            if first is None:
                raise self._lost()
        except BaseException:
            self.close()
            raise
        self.size_hw: tuple[int, int] = (first.image.shape[0], first.image.shape[1])
        self._frames = itertools.chain([first], frames)

    def stop(self) -> None:
        """See `FrameSource`; a camera that sends nothing ends after 5 s."""
        self._stopped = True

    def close(self) -> None:
        """Close the connection. Safe to call twice; nothing in a forked child."""
        if self.stranded:
            return
        if self._decoder is not None:
            self._decoder.close()
        self._container.close()

    @property
    def facts(self) -> dict[str, Fact]:
        """See `FrameSource`; `frames_passed_over` were old when they were read."""
        version = ".".join(map(str, av.library_versions["libavcodec"]))
        return {
            "reader": f"PyAV {av.__version__}, libavcodec {version}",
            "stream": f"{self._stream.index}, {self._stream.codec_context.codec.canonical_name}",
            "orientation": self._turned.copy().pop() if len(self._turned) == 1 else "mixed",
            **self._rgb.facts,
            "frames_passed_over": self._passed_over,
        }

    def __iter__(self) -> Iterator[SourceFrame]:
        """See `FrameSource`; ends by raising MediaError when the camera is lost, and else only by `stop`."""
        for frame in self._frames:
            self.require_own_process("reading frames")
            if self._stopped:
                return
            self._given += 1
            yield frame
        if not self._stopped:
            raise self._lost()

    def _read(self, decoder: PacketDecoder) -> Iterator[SourceFrame]:
        """The frames that are new."""
        following = 0
        try:
            for number, frame in decoder.frames(self._packets()):
                arrival_ns = time.monotonic_ns()
                if self._stopped:
                    return
                new = self._freshness.is_new(
                    _time_ns(frame), waited_ns=self._waited_ns, arrival_ns=arrival_ns
                )
                self._waited_ns = 0
                if not new:
                    self._passed_over += 1
                    continue
                lost, following = number - following, number + 1
                yield self._frame(frame, number, arrival_ns, lost if self._given else 0)
        except (av.error.FFmpegError, OSError) as error:
            if not self._stopped:
                raise self._lost(error) from error

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        """From the first key frame on; none comes when the stream is lost."""
        began = False
        opened_ns = time.monotonic_ns()
        packets = self._container.demux(self._stream)
        while True:
            asked_ns = time.monotonic_ns()
            packet = next(packets, None)
            self._waited_ns += time.monotonic_ns() - asked_ns
            if packet is None or self._stopped:
                return
            began |= packet.is_keyframe
            if began:
                yield packet
            elif time.monotonic_ns() - opened_ns > _KEYFRAME_S * _NS:
                raise MediaError(
                    f"opening the {self.description}: no key frame came within {_KEYFRAME_S:g} s; set the camera to "
                    "send one each second or two"
                )

    def _frame(self, frame: VideoFrame, number: int, arrival_ns: int, lost: int) -> SourceFrame:
        orientation, words = orientation_from_matrix(display_matrix(frame))
        self._turned.add(words)
        return SourceFrame(
            image=orientation.apply(self._rgb(frame)),
            name=f"{number:06d}",
            stamp_ns=arrival_ns,
            orientation=orientation,
            lost_before=lost,
            arrival_ns=arrival_ns,
        )

    def _lost(self, error: Exception | None = None) -> MediaError:
        why = "its stream ended" if error is None else _reason(error)
        when = f"after {self._given} frames" if self._given else "before its first frame"
        return MediaError(f"reading the {self.description}: it was lost {when}: {why}")


def _open(url: SourceUrl, description: str) -> InputContainer:
    scheme = url.scheme
    options = _OPTIONS | {"protocol_whitelist": _PROTOCOLS.get(scheme, scheme)}
    try:
        return av.open(
            url.text, mode="r", options=options, timeout=(_OPEN_S, _READ_S), metadata_errors="replace"
        )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise MediaError(
            f"opening the {description}: {_reason(error)}; is the address right, and the camera on?"
        ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, av.error.ExitError):  # what FFmpeg makes of a limit that has passed
        return f"it sent nothing for {_READ_S:g} s"
    return reason(error)


def _time_ns(frame: VideoFrame) -> int | None:
    if frame.pts is None or frame.time_base is None:
        return None
    return round(frame.pts * frame.time_base * _NS)
