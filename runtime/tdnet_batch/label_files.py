"""The labels of one input as files: PNGs, a lossless video, a log or a NumPy archive."""

from __future__ import annotations

from contextlib import AbstractContextManager
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
import numpy as np
from av.video.frame import VideoFrame

from tdnet_batch.npz_file import LabelledFrame, NpzFile
from tdnet_batch.settings import Form
from tdnet_runtime.cli.result_outputs import ResultOutputs
from tdnet_runtime.closeable import Closeable, Output
from tdnet_runtime.errors import MediaError
from tdnet_runtime.extras import require
from tdnet_runtime.media.append_file import AppendFile
from tdnet_runtime.media.frames import SourceFrame, reason
from tdnet_runtime.media.output_folder import OutputFolder
from tdnet_runtime.media.png import encoded_png
from tdnet_runtime.sinks.sink import LiveSink, SinkNetwork
from tdnet_runtime.sources.source_url import SourceUrl
from tdnet_runtime.stream import Result

__all__ = ["LabelFiles", "open_label_files"]

_NO_IMAGE = np.empty((0, 0, 3), dtype=np.uint8)
_NS = 1_000_000_000


class LabelFiles(AbstractContextManager["LabelFiles"], Protocol):
    """Takes the frames of one input in order; a context manager, whose end completes the files."""

    def write(self, frame: LabelledFrame) -> None:
        """Write one frame; nothing of it is kept.

        Raises:
            MediaError: the disk is full, or the labels change size where a file has one.
        """


def open_label_files(folder: Path, form: Form, network: SinkNetwork, *, paths: int) -> LabelFiles:
    """What writes into a new folder, labels of a network of so many `paths`.

    Raises:
        MissingExtraError: a log is asked for, and its package is not installed.
    """
    if form is Form.PNG:
        return _PngFiles(folder)
    if form is Form.NPZ:
        return NpzFile(folder / "labels.npz")
    if form is Form.VIDEO:
        return _VideoFile(folder / "labels.mkv")
    return _McapFile(folder / "labels.mcap", network, paths=paths)


class _PngFiles(Closeable):
    """As `tdnet-run --labels` writes them, byte for byte."""

    def __init__(self, folder: Path) -> None:
        self._folder = OutputFolder(folder, purpose="label images")

    def write(self, frame: LabelledFrame) -> None:
        self._folder.put(f"{frame.name}.png", encoded_png(frame.labels))

    def close(self) -> None:
        self._folder.close()


class _VideoFile(Output):
    """FFV1, 8 bits of grey, in Matroska: a player shows the indices, a decoder gives them back."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written = 0
        self._closed = False
        self._size_hw: tuple[int, ...] = ()
        self._pts = -1
        try:
            self._file = AppendFile(path)
        except OSError as error:
            raise self._failure(error) from error

    def write(self, frame: LabelledFrame) -> None:
        height, width = frame.labels.shape
        if not self._written:
            self._size_hw = (height, width)
            self._first_ns = frame.stamp_ns
            # Without `bitexact` the muxer marks each file with a number of its own.
            self._container = av.open(
                self._file, mode="w", format="matroska", options={"fflags": "+bitexact"}
            )
            self._stream = self._container.add_stream("ffv1", rate=1000)
            self._stream.height, self._stream.width, self._stream.pix_fmt = height, width, "gray"
            self._stream.time_base = self._stream.codec_context.time_base = Fraction(1, 1000)
            self._stream.thread_count = 1  # the workers share the cores already
        if (height, width) != self._size_hw:
            raise MediaError(
                f"writing labels: they are {height}x{width} now, and a video has one size; use --form png or npz"
            )
        picture = VideoFrame.from_ndarray(np.ascontiguousarray(frame.labels), format="gray")
        self._pts = max(self._pts + 1, round((frame.stamp_ns - self._first_ns) * 1000 / _NS))
        picture.pts, picture.time_base = self._pts, Fraction(1, 1000)
        self._mux(picture)
        self._written += 1

    def close(self) -> None:
        """Complete the file. Safe to call twice.

        Raises:
            MediaError: it cannot be written.
        """
        if self._closed:
            return
        self._closed = True
        if self._written:
            self._mux(None)
            self._container.close()
        self._file.close()
        self._check()

    def _mux(self, picture: VideoFrame | None) -> None:
        for packet in self._stream.encode(picture):
            self._container.mux(packet)
        self._check()

    def _check(self) -> None:
        if self._file.error is not None:  # which PyAV would have dropped
            raise self._failure(self._file.error) from self._file.error

    def _failure(self, error: OSError) -> MediaError:
        return MediaError(f"writing labels: {reason(error)}: '{self._path}'")


class _McapFile(Closeable):
    """As `tdnet-run --output mcap:` writes it, but without durations, which are no property of the labels."""

    def __init__(self, path: Path, network: SinkNetwork, *, paths: int) -> None:
        sink = require("tdnet_runtime.sinks.mcap_log", extra="mcap")
        url = SourceUrl(text=f"mcap:{path}", scheme="mcap", rest=str(path))
        self._sink: LiveSink = sink.McapSink(url, network)
        self._write = ResultOutputs([self._sink], paths=paths)

    def write(self, frame: LabelledFrame) -> None:
        source_frame = SourceFrame(
            image=_NO_IMAGE,
            name=frame.name,
            stamp_ns=frame.stamp_ns,
            begins=frame.begins,
            lost_before=frame.lost_before,
            frame_id=frame.frame_id,
        )
        result = Result(frame.labels, frame.path, frame.cold, frame.frame_index, frame.stamp_ns, None)
        self._write(source_frame, frame.labels, result, 0)

    def close(self) -> None:
        self._sink.close()
