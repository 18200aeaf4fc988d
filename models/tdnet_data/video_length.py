"""How many frames a video has."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av.error
from av.container import InputContainer
from av.logging import Capture
from av.video.stream import VideoStream

from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.damage import OnDamage
from tdnet_runtime.media.decoder_messages import first_error
from tdnet_runtime.media.h264_numbers import H264Numbers
from tdnet_runtime.media.video import VideoSource
from tdnet_runtime.media.video_file import best_stream, listed_packets, open_container, promised_end_s

__all__ = ["video_length"]

_ONE_PICTURE_EACH = ("av1", "ffv1", "h264", "hevc", "vp9")
"""Codecs beside the intra-only ones whose packets give a picture each; a packet of H.264 may be a field, half of one."""

_MAY_MISS_S = Fraction(1, 4)  # at the end, as in `VideoSource`


def video_length(path: Path) -> int:
    """How many frames the video has: its packets, where as many are promised or each gives one; else by decoding.

    Packets are counted in the file's index, where it has a whole one.

    A header has no number for some formats, or one that follows from the length at a constant rate; some packets give
    no frame. Of a video that is damaged or cut short it is more than can be read, so that reading tells of it.

    Raises:
        MediaError: not a video.
    """
    status = path.stat()
    return _length(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4096)
def _length(path: Path, mtime_ns: int, size: int) -> int:
    with VideoSource(path, on_damage=OnDamage.FAIL) as source:
        expected = source.frame_count or 0
        if expected and _listed(path) == expected:
            return expected
        packets, give_one_each = _packets(path)
        if packets == expected or give_one_each:
            return packets
        count = 0
        try:
            for _ in source:
                count += 1
        except MediaError:
            return max(expected, count + 1)
    return count


def _listed(path: Path) -> int:
    """Packets that should give a frame each, by the file's index; 0 where it has none, or not of all of them."""
    with open_container(path) as container:
        stream = best_stream(container, path)
        listed = listed_packets(container, stream)
        if not listed or any(entry.is_discard for entry in stream.index_entries):
            return 0
        try:  # behind the last one there may be fragments, which the index has once they are read
            container.seek(stream.index_entries[len(stream.index_entries) - 1].timestamp, stream=stream)
            for _ in container.demux(stream):
                if listed_packets(container, stream) != listed:
                    return 0
        except (av.error.FFmpegError, OSError):
            return 0
        return listed


def _packets(path: Path) -> tuple[int, bool]:
    """Those that should give a frame each, and whether they surely do; -1 where they cannot be read."""
    with open_container(path) as container:
        stream = best_stream(container, path)
        times: list[int | None] = []
        is_whole, end = True, 0
        try:
            with Capture() as messages:
                for packet in container.demux(stream):
                    if packet.size and not packet.is_discard:
                        is_whole &= not packet.is_corrupt and (bool(times) or packet.is_keyframe)
                        times.append(packet.pts)
                        end = max(end, (packet.pts or 0) + (packet.duration or 0))
        except (av.error.FFmpegError, OSError):
            return -1, False
        is_whole &= first_error(messages) is None and _has_all(container, stream, len(times), end)
        known = [time for time in times if time is not None]
        in_order = len(set(known)) == len(times) and known[:1] == [min(known, default=0)]
        return len(times), is_whole and in_order and _one_each(stream)


def _has_all(container: InputContainer, stream: VideoStream, packets: int, end: int) -> bool:
    """Nothing is missing at the end, by what header and index say."""
    missing_s = promised_end_s(container, stream) - end * (stream.time_base or 0)
    return missing_s <= _MAY_MISS_S and packets >= listed_packets(container, stream)


def _one_each(stream: VideoStream) -> bool:
    context = stream.codec_context
    if context.codec.canonical_name == "h264" and not H264Numbers(context.extradata or b"").frames_only:
        return False
    return context.codec.intra_only or context.codec.canonical_name in _ONE_PICTURE_EACH
