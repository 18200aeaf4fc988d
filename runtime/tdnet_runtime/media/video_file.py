"""A video file: opening it, its stream of pictures, and what its header says of length and rate."""

from __future__ import annotations

import errno
import math
import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, islice
from operator import sub
from pathlib import Path
from statistics import median_low

import av
import av.error
from av.container import InputContainer
from av.logging import Capture
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.decoder_messages import first_error
from tdnet_runtime.media.frames import reason

__all__ = [
    "best_stream",
    "empty_chunks_at_end",
    "expected_frames",
    "frame_rate",
    "listed_packets",
    "look_ahead",
    "open_container",
    "promised_end_s",
]

_OLDEST_PYAV = 17
_LOOK_AHEAD_PACKETS = 48
_LOOK_AHEAD_BYTES = 16 << 20
_REORDERED = 8  # of the packets looked at, the last may lack neighbours that come after them in the file
_SAME_RATE = Fraction(1, 50)
_DURATION = re.compile(r"([0-9]{1,6}):([0-9]{1,2}):([0-9]{1,2}(?:\.[0-9]{1,9})?)")
_INDEX_TOLERANCE = 2  # frames


def open_container(path: Path) -> InputContainer:
    """The file, opened.

    Raises:
        MediaError: FFmpeg cannot read it, it is a text, or PyAV is too old.
    """
    if int(av.__version__.partition(".")[0]) < _OLDEST_PYAV:
        raise MediaError(
            f"opening the video: PyAV {av.__version__} takes full-range colours for limited ones; expected "
            f"{_OLDEST_PYAV} or later: pip install 'av>={_OLDEST_PYAV}': '{path}'"
        )
    try:
        # `file:` because FFmpeg takes `a:b.mp4` for a protocol; the list, so that a playlist stays local.
        container = av.open(
            f"file:{path}", mode="r", options={"protocol_whitelist": "file"}, metadata_errors="replace"
        )
    except (av.error.FFmpegError, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EIO:  # which FFmpeg says of a file's early end
            raise MediaError(f"opening the video: {reason(error)}: '{path}'") from error
        raise MediaError(
            f"opening the video: not a video that FFmpeg can read, or cut short before its index "
            f"({reason(error)}): '{path}'"
        ) from error
    if container.format.name == "tty":  # FFmpeg renders any *.txt as a terminal's screen
        container.close()
        raise MediaError(f"opening the video: this is a text file: '{path}'")
    return container


def best_stream(container: InputContainer, path: Path) -> VideoStream:
    """The stream that FFmpeg takes for the best: one marked as default, with most bits a second; no cover.

    Raises:
        MediaError: there is none, or no decoder for it.
    """
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.disposition & Disposition.attached_pic:
        kinds = ", ".join(sorted({stream.type for stream in container.streams}))
        if not kinds:
            raise MediaError(
                f"opening the video: no stream is left in it, so its header is damaged or cut short: '{path}'"
            )
        cover = " but a cover" if stream is not None else ""
        raise MediaError(f"opening the video: it holds {kinds}, but no pictures{cover}: '{path}'")
    if stream.codec_context is None:
        raise MediaError(
            f"opening the video: this PyAV has no decoder for its pictures, or its header is damaged: '{path}'"
        )
    return stream


def look_ahead(
    container: InputContainer, stream: VideoStream
) -> tuple[list[Packet[VideoStream]], Iterator[Packet[VideoStream]]]:
    """The first packets of a stream, and all of them in order; an error of reading comes with the latter.

    What the container's reader complains of while `DecoderMessages` are heard is the `opaque` of the packet that it
    finds next, else None.
    """
    source = _packets(container, stream)
    ahead: list[Packet[VideoStream]] = []
    failure: Exception | None = None
    size = 0
    try:
        for packet in islice(source, _LOOK_AHEAD_PACKETS):
            ahead.append(packet)
            size += packet.size
            if size > _LOOK_AHEAD_BYTES:
                break
    except (av.error.FFmpegError, OSError) as error:
        failure = error

    def seen() -> Iterator[Packet[VideoStream]]:
        yield from ahead
        if failure is not None:
            raise failure

    return ahead, chain(seen(), source)


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    source = container.demux(stream)
    while True:
        with Capture() as messages:
            packet = next(source, None)
        if packet is None:
            return
        # What it says of the pictures themselves, the decoder says again.
        packet.opaque = first_error([said for said in messages if said[1] != stream.codec_context.name])
        yield packet


def frame_rate(stream: VideoStream, ahead: list[Packet[VideoStream]]) -> Fraction | None:
    """Frames per second, as a whole or but for frames that were left out; None where nothing tells it.

    Of the rates that FFmpeg names, the one that the first packets' times agree with, else what these say:
    `average_rate` alone is 1000 for some Matroska files of 30 frames/s.
    """
    named = [rate for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate) if rate]
    looked_at = [packet for packet in ahead if packet.size and not packet.is_discard]
    times = sorted({packet.pts for packet in looked_at if packet.pts is not None})
    if ahead and ahead[-1].size:  # more come
        times = times[: max(2, len(times) - _REORDERED)]
    if len(times) < 2 or stream.time_base is None or any(packet.pts is None for packet in looked_at):
        return named[0] if named else None
    span = times[-1] - times[0]
    mean = (len(times) - 1) / (span * stream.time_base)
    usual = 1 / (median_low(map(sub, times[1:], times)) * stream.time_base)
    for seen in (mean, usual):
        agreeing = [rate for rate in named if abs(rate - seen) <= seen * _SAME_RATE]
        if agreeing:
            return min(agreeing, key=lambda rate: abs(rate - seen))
    # The simplest rate that the clock's ticks do not contradict.
    slack = mean / span
    return mean.limit_denominator(_least_denominator(mean - slack, mean + slack))


def _least_denominator(low: Fraction, high: Fraction) -> int:
    """Of the fractions from `low` to `high`, both at least 0; by continued fractions, since damaged times make it huge."""
    before, last = 1, 0  # denominators of the convergents
    while (whole := math.ceil(low)) > high:
        before, last = last, (whole - 1) * last + before
        low, high = 1 / (high - whole + 1), 1 / (low - whole + 1)
    return whole * last + before


def expected_frames(container: InputContainer, stream: VideoStream, fps: Fraction | None) -> int | None:
    """Frames to expect by the header; an estimate where it has no whole index."""
    if fps is None:
        return stream.frames or None
    begin_s = Fraction(0)
    if stream.duration and stream.time_base is not None:
        end_s = stream.duration * stream.time_base
    else:
        end_s = promised_end_s(container, stream)
        if not end_s and container.duration is not None and container.duration > 0:
            end_s = Fraction(container.duration, av.time_base)
        if "matroska" in container.format.name and stream.start_time and stream.time_base is not None:
            begin_s = stream.start_time * stream.time_base  # its lengths are counted from time 0
    estimate = (end_s - begin_s) * fps
    if stream.frames and (abs(stream.frames - estimate) < _INDEX_TOLERANCE or estimate <= 0):
        return stream.frames  # of a file in fragments the first one's alone, which the length shows
    return max(round(estimate), 1) if estimate > 0 else None


def promised_end_s(container: InputContainer, stream: VideoStream) -> Fraction:
    """The stream's end by what the file's header says; 0 where it says nothing of worth.

    Only what was written down when the file was made: for other formats FFmpeg gives an estimate.
    """
    format_name = container.format.name
    if "mov" in format_name and stream.duration is not None and stream.time_base is not None:
        return Fraction(((stream.start_time or 0) + stream.duration) * stream.time_base)
    if "matroska" in format_name:
        tags = {key: value for key, value in stream.metadata.items() if key.startswith("DURATION")}
        # Whoever cut the file leaves `DURATION-eng` as it was.
        found = _DURATION.fullmatch(tags.get("DURATION") or next(iter(tags.values()), ""))
        if found is not None:
            end_s = int(found[1]) * 3600 + int(found[2]) * 60 + Fraction(found[3])
            whole = container.duration or 0
            return min(end_s, Fraction(whole, av.time_base)) if whole > 0 else end_s
    if format_name == "avi" and stream.frames and stream.average_rate:
        return stream.frames / stream.average_rate
    return Fraction(0)


def listed_packets(container: InputContainer, stream: VideoStream) -> int:
    """Packets of the stream that the file's own index lists, fragments' included as far as they were read.

    0 where there is no index, or one that FFmpeg makes up, or whose entries its parsers may join.
    """
    intra_only = stream.codec_context.codec.intra_only
    if "mov" not in container.format.name and not (container.format.name == "avi" and intra_only):
        return 0
    return sum(entry.size > 0 for entry in stream.index_entries)


def empty_chunks_at_end(stream: VideoStream, path: Path) -> int:
    """Chunks of no byte behind the last picture of an AVI: writers dropped frames there, and FFmpeg passes over them."""
    if not path.is_file():  # it is gone, or a pipe, which would have us wait
        return 0
    last = next((entry for entry in reversed(stream.index_entries) if entry.size), None)
    number, place, found = b"%02d" % stream.index, 0 if last is None else last.pos, 0
    with path.open("rb") as file:
        while place:
            file.seek(place)
            head = file.read(8)
            name, size = head[:4], int.from_bytes(head[4:], "little")
            if len(head) < 8 or name == b"idx1":
                break
            found += name in (number + b"dc", number + b"db") and size == 0
            place += 12 if name in (b"RIFF", b"LIST") else 8 + size + size % 2
    return found
