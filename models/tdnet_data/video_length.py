"""How many frames a video has."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import av.error

from tdnet_runtime.errors import MediaError
from tdnet_runtime.media.damage import OnDamage
from tdnet_runtime.media.video import VideoSource
from tdnet_runtime.media.video_file import best_stream, open_container

__all__ = ["video_length"]


def video_length(path: Path) -> int:
    """How many frames the video has: what its header says, where as many packets are there, else counted by decoding.

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
        if _packets(path) == expected:
            return expected
        count = 0
        try:
            for _ in source:
                count += 1
        except MediaError:
            return max(expected, count + 1)
    return count


def _packets(path: Path) -> int:
    """Those that should give a frame each; -1 where they cannot be read."""
    with open_container(path) as container:
        try:
            packets = container.demux(best_stream(container, path))
            return sum(1 for packet in packets if packet.size and not packet.is_discard)
        except (av.error.FFmpegError, OSError):
            return -1
