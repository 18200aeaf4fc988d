"""A video of the frames with the class colours over them, which survives a kill and a full disk."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import av.codec
import av.error
import numpy as np
import numpy.typing as npt
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from av.video.stream import VideoStream

from tdnet_runtime.closeable import Output
from tdnet_runtime.errors import MediaError
from tdnet_runtime.forks import ForkBound
from tdnet_runtime.media.append_file import AppendFile
from tdnet_runtime.media.blend import blend, color_table
from tdnet_runtime.media.frames import SourceFrame, reason
from tdnet_runtime.media.play_times import LONGEST_STEP_S, PlayTimes
from tdnet_runtime.media.sinks import check_folder
from tdnet_runtime.os_errors import told_as

__all__ = ["OverlayWriter", "check_output"]

_ENCODER: Final = "libx264"
# Without look-ahead and B-frames a packet follows each frame at once: nothing waits in the encoder.
_ENCODER_OPTIONS = {"preset": "veryfast", "crf": "20", "tune": "zerolatency"}
# Each fragment, from one keyframe to the next, is readable by itself and leaves the process when it ends.
_MUXER_OPTIONS = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}
_TICKS_PER_S = 90_000
_MOST_TICKS = (1 << 31) - 1  # of one frame in an MP4
_LARGEST_TIMESCALE = _MOST_TICKS // LONGEST_STEP_S
_NS = 1_000_000_000
_LARGEST_ASPECT_TERM = 4096  # to which x264 reduces it
_BT709 = 1  # as ITU-T H.273 numbers it: matrix, primaries and transfer alike


class OverlayWriter(Output, ForkBound):
    """Writes an H.264 video (fragmented MP4, yuv420p, BT.709) that can be read while it grows.

    At least once in a second, by the video's time and by the clock, what was written becomes readable
    and stays so whatever happens to the process. Frames keep their distances in time and the last one its
    duration, pixels their aspect; time begins at 0. Sides of odd length get one more row or column, a copy
    of the last. The file is begun, and one that exists is overwritten, with the first frame. A child that is forked
    meanwhile can neither write to it nor finish it.

    Stamps that do not go forward, or by more than an hour, are not followed; see `PlayTimes`.

    Args:
        path: of the file, in an existing folder.
        size_hw: (H, W) of the frames.
        fps: of the video, which its clock divides exactly (of rates whose numerator is above 596,523, to 1/90000 s); also
            the distance of frames whose `stamp_ns` does not advance. None where frames have no rate.
        colors: (R, G, B) of each class.

    Raises:
        MediaError: `path` cannot be written to, or PyAV is without the encoder.
    """

    fork_error = MediaError

    def __init__(
        self,
        path: Path,
        *,
        size_hw: tuple[int, int],
        fps: Fraction | None,
        colors: Sequence[tuple[int, int, int]],
    ) -> None:
        check_output(path)
        self.path = path
        self.written = 0
        self._colors = color_table(colors)
        self._times = PlayTimes(fps)
        self._fps = self._times.fps
        self._tick_s = _tick_s(self._fps)
        height, width = size_hw
        self._canvas = np.zeros((height + height % 2, width + width % 2, 3), dtype=np.uint8)
        self._picture = self._canvas[:height, :width]
        self._rgb = VideoFrame.from_numpy_buffer(self._canvas, format="rgb24")
        self._reformatter = VideoReformatter()
        self._file: AppendFile | None = None
        self._container: OutputContainer | None = None
        self._ended = False
        self._stream: VideoStream
        self._pts = 0
        self._step_ticks = self._ticks(self._times.period_ns)  # of the last frame
        self._keyframe_pts = 0
        self._keyframe_ns = 0
        self._readable_bytes = 0
        self._readable_frames = 0

    def write(self, frame: SourceFrame, labels: npt.NDArray[np.uint8]) -> None:
        """See `Sink`."""
        self.require_own_process("write()")
        if self._ended:
            raise MediaError(f"writing the overlay: it was finished before and takes no more: '{self.path}'")
        height, width = self._picture.shape[:2]
        blend(frame.image, labels, self._colors, out=self._picture)
        self._canvas[height:, :width] = self._canvas[height - 1, :width]
        self._canvas[:, width:] = self._canvas[:, width - 1 : width]
        try:
            if self._file is None:
                self._begin(frame)
            self._advance(frame)
            packets = self._stream.encode(self._timed_picture())
            ticks = self._step_ticks if frame.duration_ns is None else self._ticks(frame.duration_ns)
            for packet in packets:  # only the last one's counts: the others end with the next
                packet.duration = min(max(1, ticks), _MOST_TICKS)
            self._mux(packets)
        except (av.error.FFmpegError, OSError) as error:
            raise self._failure(error) from error
        self.written += 1

    def close(self) -> None:
        """Finish the file. Safe to call twice; nothing in a forked child.

        Raises:
            MediaError: its end could not be written; what is readable is said.
        """
        if self.stranded or self._ended or self._container is None or self._file is None:
            return
        try:
            self._mux(self._stream.encode(None))
            self._container.close()
            self._file.close()
            self._check_written()
            self._ended = True
        except (av.error.FFmpegError, OSError) as error:
            raise self._failure(error) from error

    def _begin(self, first: SourceFrame) -> None:
        self._file = AppendFile(self.path)
        try:
            self._open_stream(first)
        except BaseException:
            self._end()  # or the next frame would be written without a stream
            raise

    def _open_stream(self, first: SourceFrame) -> None:
        container = self._container = av.open(self._file, mode="w", format="mp4", options=_MUXER_OPTIONS)
        stream = container.add_stream(_ENCODER, rate=self._fps, options=_ENCODER_OPTIONS)
        stream.height, stream.width = self._canvas.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.time_base = self._tick_s
        stream.thread_count = 2  # leaves the cores to the network
        context = stream.codec_context
        context.time_base = self._tick_s
        context.sample_aspect_ratio = first.pixel_aspect.limit_denominator(_LARGEST_ASPECT_TERM)
        context.gop_size = 1 << 16  # `_timed_picture` says when
        context.color_range = ColorRange.MPEG
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        self._stream = stream

    def _ticks(self, span_ns: int | Fraction) -> int:
        return round(Fraction(span_ns, _NS) / self._tick_s)

    def _advance(self, frame: SourceFrame) -> None:
        """Set `_pts` to the time of the next frame, after that of the last."""
        pts = self._ticks(self._times.next(frame.stamp_ns, arrival_ns=frame.arrival_ns))
        if self.written:
            pts = max(self._pts + 1, pts)
            self._step_ticks = pts - self._pts
            self._pts = pts

    def _timed_picture(self) -> VideoFrame:
        """The canvas as yuv420p with its time, and marked as a keyframe once a second."""
        picture = self._reformatter.reformat(
            self._rgb, format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        picture.pts = self._pts
        picture.time_base = self._tick_s
        passed_s = (self._pts - self._keyframe_pts) * self._tick_s
        if passed_s >= 1 or time.monotonic_ns() - self._keyframe_ns >= _NS:
            picture.pict_type = PictureType.I
        return picture

    def _mux(self, packets: list[Packet[VideoStream]]) -> None:
        """Hand packets over; a keyframe sends the fragment before it to the file."""
        assert self._container is not None  # the stream is its part
        assert self._file is not None
        for packet in packets:
            self._container.mux(packet)
            self._check_written()
            if packet.is_keyframe:
                self._keyframe_pts = self._pts
                self._keyframe_ns = time.monotonic_ns()
            if self._file.size > self._readable_bytes:
                self._readable_bytes = self._file.size
                self._readable_frames = self.written

    def _check_written(self) -> None:
        if self._file is not None and self._file.error is not None:
            raise self._file.error

    def _failure(self, error: Exception) -> MediaError:
        """Close and cut the file; the error to raise."""
        self._end()
        return MediaError(
            f"writing the overlay stopped after {self.written} frames: {reason(error)}; "
            f"the first {self._readable_frames} can be watched: '{self.path}'"
        )

    def _end(self) -> None:
        """Close and cut the file back to the last whole fragment, or remove it."""
        self._ended = True
        if self._container is not None:
            with contextlib.suppress(av.error.FFmpegError, OSError):
                self._container.close()
        if self._file is not None:
            self._file.cut(self._readable_bytes if self._readable_frames else 0)
            self._file = None


def _tick_s(fps: Fraction) -> Fraction:
    """What the clock counts in: a whole part of each period, where an hour of such parts has a place in an MP4."""
    timescale = -(-_TICKS_PER_S // fps.numerator) * fps.numerator
    return Fraction(1, timescale if timescale <= _LARGEST_TIMESCALE else _TICKS_PER_S)


@told_as(MediaError, "writing the overlay")
def check_output(path: Path) -> None:
    """Check, as far as can be known beforehand, that an overlay can be written to `path`.

    Raises:
        MediaError: it cannot, or PyAV is without the encoder.
    """
    if not path.parent.exists():
        raise MediaError(f"writing the overlay: there is no folder '{path.parent}'; make it first")
    check_folder(path.parent, purpose="the overlay")
    if path.is_dir():
        raise MediaError(f"writing the overlay: a folder has that name: '{path}'")
    try:
        av.codec.Codec(_ENCODER, "w")
    except av.codec.codec.UnknownCodecError:
        raise MediaError(
            f"writing the overlay: this PyAV was built without the H.264 encoder {_ENCODER}; "
            "install its wheel: pip install --force-reinstall --only-binary av av"
        ) from None
