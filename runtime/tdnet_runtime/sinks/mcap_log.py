"""Results as a log that ROS 2's tools and Foxglove read: MCAP."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import mcap.writer
from mcap.data_stream import RecordBuilder

import tdnet_runtime
from tdnet_runtime.closeable import Output
from tdnet_runtime.errors import MediaError
from tdnet_runtime.forks import ForkBound
from tdnet_runtime.media.append_file import open_alone
from tdnet_runtime.media.frames import reason
from tdnet_runtime.ros.messages import LabelInfo, RawImage
from tdnet_runtime.ros.types import IMAGE, LABEL_INFO, MessageType
from tdnet_runtime.sinks.day_stamps import DayStamps
from tdnet_runtime.sinks.own_file import check_own
from tdnet_runtime.sinks.sink import SinkNetwork, topic_of
from tdnet_runtime.sinks.source_names import SourceNames
from tdnet_runtime.sinks.timing import TIMING, timing_to_cdr
from tdnet_runtime.sources.mcap_records import MAGIC
from tdnet_runtime.sources.source_url import SourceUrl

if TYPE_CHECKING:
    from tdnet_runtime.live.result import LiveResult

__all__ = ["McapSink"]

_LIBRARY = "tdnet-deploy"
_CHUNK_BYTES = 8 << 20
_CHUNK_S = 1.0
_MARKS = (MAGIC, _LIBRARY.encode())  # of an earlier one


class McapSink(Output, ForkBound):
    """Writes `<topic>/mask`, `/confidence` where there is one, `/timing` and, once, `/label_info`, with the profile `ros2`.

    Masks are sensor_msgs/msg/Image in mono8, with stamp and frame_id of their frames. Their stamps are the log's times,
    too. Sources that have a name get a level of their own: `/segmentation/front/mask`.

    Chunks end after a second or 8 MiB, and go to the file at once: a kill costs the results of a second at most. Of each
    chunk its index is kept, about a hundred bytes, for the file's end. A file of this kind is replaced with the first
    result, any other refused; while it is written no other run can write it.

    Args:
        url: `mcap:PATH`; `topic` is `/segmentation` if not given.
        network: whose labels they are.

    Raises:
        MediaError: the file cannot be written to, or is another program's; mcap is older than 1.6.
    """

    fork_error = MediaError

    def __init__(self, url: SourceUrl, network: SinkNetwork) -> None:
        self._path = Path(url.rest)
        self.name = f"log '{self._path}'"
        self.source_names = SourceNames(f"writing the {self.name}")
        self._base = url.params.get("topic", "/segmentation")
        self._network = network
        self._file: _ChunkFile | None = None
        self._writer: Any = None
        self._channels: dict[str, int] = {}
        self._schemas: dict[str, int] = {}
        self._ended = False
        self._written = self._readable = 0
        self._chunk_began = 0.0
        self._stamps = DayStamps()
        if not hasattr(mcap.writer.Writer, "flush"):
            raise MediaError(
                f"writing the {self.name}: mcap is too old; install 1.6 or later: pip install 'mcap>=1.6'"
            )
        check_own(self._path, self.name, marks=_MARKS)

    def write(self, result: LiveResult) -> None:
        """See `LiveSink`."""
        self.require_own_process("write()")
        if self._ended:
            raise MediaError(f"writing the {self.name}: it was finished before and takes no more")
        self.source_names.of(result.source)
        frame_id = result.frame.frame_id
        try:
            if self._file is None:
                self._begin()
            self._describe(result)
            for leaf, image in (("mask", result.labels), ("confidence", result.confidence)):
                if image is not None:
                    message = RawImage.from_pixels(
                        image, encoding="mono8", stamp_ns=self._stamps.of(result), frame_id=frame_id
                    )
                    self._put(result, leaf, IMAGE, message.to_cdr())
            self._put(result, "timing", TIMING, timing_to_cdr(result, self._stamps.of(result)))
            self._written += 1
            now = time.monotonic()
            if now - self._chunk_began >= _CHUNK_S:
                self._writer.flush()
            self._note_readable(now)
        except OSError as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Write index and end. Safe to call twice; nothing in a forked child.

        Raises:
            MediaError: the end could not be written; what is readable is said.
        """
        if self.stranded or self._ended or self._file is None:
            return
        try:
            self._writer.finish()
            self._file.close()
            self._ended = True
        except OSError as error:
            raise self._failure(error) from error

    def _begin(self) -> None:
        check_own(self._path, self.name, marks=_MARKS)  # what another program made of it meanwhile
        file = _ChunkFile(self._path)
        try:
            writer: Any = mcap.writer.Writer(cast("IO[bytes]", file), chunk_size=_CHUNK_BYTES)
            # Of each chunk mcap 1.6 keeps an object of 400 bytes or more.
            writer._Writer__chunk_indices = _PackedIndices()
            writer.start(profile="ros2", library=f"{_LIBRARY} {tdnet_runtime.__version__}")
            writer.add_metadata(
                "tdnet", {"network": self._network.name, "bundle_sha256": self._network.digest}
            )
        except BaseException:
            self._ended = True  # what was begun is not gone on with
            file.cut()
            raise
        file.commit()
        self._file, self._writer = file, writer
        self._chunk_began = time.monotonic()

    def _describe(self, result: LiveResult) -> None:
        """Say once for each source what the labels mean."""
        topic = topic_of(self._base, result.source, "label_info")
        if topic not in self._channels:
            info = LabelInfo(
                stamp_ns=self._stamps.of(result),
                frame_id=result.frame.frame_id,
                classes=tuple(enumerate(name for name, _ in self._network.classes)),
            )
            self._put(result, "label_info", LABEL_INFO, info.to_cdr())

    def _put(self, result: LiveResult, leaf: str, kind: MessageType, data: bytes) -> None:
        topic = topic_of(self._base, result.source, leaf)
        channel = self._channels.get(topic)
        if channel is None:
            schema = self._schemas.get(kind.name)
            if schema is None:
                schema = self._schemas[kind.name] = self._writer.register_schema(
                    kind.name, "ros2msg", kind.schema_text.encode()
                )
            channel = self._channels[topic] = self._writer.register_channel(topic, "cdr", schema)
        log_time = max(self._stamps.of(result), 0)
        self._writer.add_message(channel, log_time, data, log_time, self._written)

    def _note_readable(self, now: float) -> None:
        """Take note of the chunks that the file holds whole."""
        assert self._file is not None
        if self._file.grew:
            self._file.commit()
            self._readable = self._written
            self._chunk_began = now

    def _failure(self, error: OSError) -> MediaError:
        """Close the file, cut back to the last whole chunk; the error to raise."""
        self._ended = True
        if self._file is not None:
            self._file.cut()
        return MediaError(
            f"writing the {self.name} stopped after {self._written} results: {reason(error)}; the first "
            f"{self._readable} can be read"
        )


class _PackedIndices:
    """A list of chunk indices for `mcap.writer.Writer`, kept as the bytes that they will be in the file."""

    def __init__(self) -> None:
        self._records = bytearray()

    def append(self, index: Any) -> None:
        builder: Any = RecordBuilder()
        index.write(builder)
        self._records += builder.end()

    def __iter__(self) -> Iterator[_PackedIndices]:
        yield self  # all in one

    def write(self, builder: RecordBuilder) -> None:
        builder.write(self._records)


class _ChunkFile:
    """An unbuffered file for `mcap.writer.Writer`, which remembers how far it is whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = open_alone(path)
        self._size = self._whole = 0

    @property
    def grew(self) -> bool:
        """Something was written since `commit`."""
        return self._size > self._whole

    def write(self, data: bytes) -> int:
        rest = memoryview(data)
        while rest:
            count = self._file.write(rest)
            if not count:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._size += count
            rest = rest[count:]
        return len(data)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        """Nothing is held back."""

    def commit(self) -> None:
        """All that was written so far is whole."""
        self._whole = self._size

    def close(self) -> None:
        self._file.close()

    def cut(self) -> None:
        """Close the file and keep what is whole, as far as it can be cut; also where closing it has failed."""
        with contextlib.suppress(OSError):
            os.truncate(self._path if self._file.closed else self._file.fileno(), self._whole)
        with contextlib.suppress(OSError):
            self._file.close()
