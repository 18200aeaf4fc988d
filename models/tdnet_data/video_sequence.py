"""A video of which a few frames have labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tdnet_data.dataset import Frame, FrameRef, Sequence
from tdnet_runtime.errors import DataError

__all__ = ["VIDEO_SUFFIXES", "of_video", "video_sequences"]

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mkv", ".mov", ".avi", ".webm", ".mpg", ".mpeg", ".ts", ".mjpeg")


def of_video(files: Mapping[str, Path], video: str, *, alone: bool) -> dict[int, Path]:
    """Label images of a video's frames, by the frame's index: `<video's name>/<index>.png`.

    Args:
        files: label images by name.
        video: its name.
        alone: there are no other frames, so the label images may lie in the folder itself.

    Raises:
        DataError: one is not called by an index, or two by the same.
    """
    found: dict[int, Path] = {}
    for name, path in files.items():
        folder, _, stem = name.rpartition("/")
        if folder != video and not (alone and not folder):
            continue
        if not (stem.isascii() and stem.isdigit()):
            raise DataError(
                f"opening a data set: a label image of the video {video!r} is called {stem!r}; expected the index of "
                f"its frame, from 0 on, such as 000012: '{path}'"
            )
        other = found.setdefault(int(stem), path)
        if other is not path:
            raise DataError(
                f"opening a data set: '{other.name}' and '{path.name}' are both labels of frame {int(stem)} of the "
                f"video {video!r}: '{path}'"
            )
    return found


def video_sequences(
    name: str,
    video: Path,
    labels: Mapping[int, Path],
    confidences: Mapping[int, Path],
    *,
    single_images: bool,
) -> list[Sequence]:
    """All frames of the video as one sequence, or its labelled frames as one each.

    That a labelled frame is there shows when it is read.

    Raises:
        MediaError: not a video.
    """
    from tdnet_data.video_length import video_length  # with PyAV, only where there are videos

    count = max(video_length(video) - 1, *labels, 0) + 1

    def frame(index: int) -> Frame:
        return Frame(
            name=f"{name}/{index:06d}",
            image=FrameRef(video, index),
            label=labels.get(index),
            confidence=confidences.get(index),
        )

    if single_images:
        return [Sequence(name=f"{name}/{index:06d}", frames=(frame(index),)) for index in sorted(labels)]
    return [Sequence(name=name, frames=tuple(map(frame, range(count))))]
