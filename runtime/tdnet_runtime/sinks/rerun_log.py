"""Results for Rerun's viewer: as a file, or served to viewers that come and go."""

from __future__ import annotations

import contextlib
import logging
import re
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rerun
import rerun_bindings

from tdnet_runtime.closeable import Output
from tdnet_runtime.errors import MediaError, OptionError
from tdnet_runtime.forks import ForkBound
from tdnet_runtime.media.append_file import AppendFile
from tdnet_runtime.media.frames import reason
from tdnet_runtime.sinks.day_stamps import DayStamps
from tdnet_runtime.sinks.own_file import check_own
from tdnet_runtime.sinks.pictures import jpeg
from tdnet_runtime.sinks.rerun_server import RerunServer
from tdnet_runtime.sinks.rrd import rrd_messages
from tdnet_runtime.sinks.rrd_index import add_index
from tdnet_runtime.sinks.sink import SinkNetwork, topic_of
from tdnet_runtime.sinks.source_names import SourceNames
from tdnet_runtime.sources.source_url import SourceUrl

if TYPE_CHECKING:
    from tdnet_runtime.live.result import LiveResult

__all__ = ["RerunFileSink", "RerunServerSink"]

logger = logging.getLogger(__name__)

_APPLICATION = "tdnet"
_MARKS = (b"RRF2", _APPLICATION.encode())  # of an earlier file
_FRAMES = ("jpeg", "raw", "none")
_WRITE_S = 0.25  # each piece has 6 kB of its own, and takes a few ms
_FLUSH_S = 1.0
_EPOCH_NS = 10**17  # stamps from 1973 on are dates; below, they are spans since a file's or a machine's start
_ADDRESS = re.compile(r"//(?P<host>[^:/]*)(?::(?P<port>[0-9]{1,5}))?/?")
_LOOPBACK = ("", "127.0.0.1", "localhost")


class _RerunSink(Output, ForkBound):
    """Frame, labels with names and colours, confidence, and latencies, by the frames' own stamps.

    For one thread: Rerun's time is each thread's own. Entities are `frame`, `mask`, `confidence`, `latency/…`, `dropped`,
    below the source's name where it has one.
    """

    fork_error = MediaError

    def __init__(self, name: str, url: SourceUrl, network: SinkNetwork) -> None:
        self.name = name
        self._frames = url.params.get("frames", "jpeg")
        if self._frames not in _FRAMES:
            raise OptionError(
                f"--output {url.text!r}: frames is {self._frames!r}; expected {', '.join(_FRAMES)}"
            )
        self.source_names = SourceNames(f"writing the {name}")
        self._classes = [(index, *spec) for index, spec in enumerate(network.classes)]
        self._described: set[str] = set()
        self._stamps = DayStamps()
        self._thread: int | None = None
        self._recording: Any = None
        self._stream: Any = None

    def _let_go(self) -> None:
        """End the recording and its two threads, which Rerun would keep until the process ends (0.41); twice is once."""
        if self._recording is not None:
            self._recording.disconnect()
            self._recording = self._stream = None
            _end_threads()

    def _log(self, result: LiveResult) -> None:
        """Hand one result to Rerun."""
        recording, base = self._recording, result.source
        self.source_names.of(base)
        if self._thread not in (None, threading.get_ident()):
            raise MediaError(f"writing the {self.name}: write() came from two threads; use one sink in each")
        self._thread = threading.get_ident()
        if base not in self._described:
            recording.log(topic_of("", base, ""), rerun.AnnotationContext(self._classes), static=True)
            self._described.add(base)
        stamp_ns = self._stamps.of(result)
        if abs(stamp_ns) >= _EPOCH_NS:
            recording.set_time("stamp", timestamp=np.datetime64(stamp_ns, "ns"))
        else:
            recording.set_time("stamp", duration=np.timedelta64(stamp_ns, "ns"))
        recording.set_time("frame", sequence=result.frame_index)
        if self._frames == "jpeg":
            picture = rerun.EncodedImage(contents=jpeg(result.frame.image), media_type="image/jpeg")
            recording.log(topic_of("", base, "frame"), picture)
        elif self._frames == "raw":
            recording.log(topic_of("", base, "frame"), rerun.Image(result.frame.image))
        recording.log(topic_of("", base, "mask"), rerun.SegmentationImage(result.labels))
        if result.confidence is not None:
            recording.log(topic_of("", base, "confidence"), rerun.Image(result.confidence))
        for stage, ms in result.stage_ms.items():
            recording.log(topic_of("", base, f"latency/{stage}"), rerun.Scalars([ms]))
        recording.log(topic_of("", base, "dropped"), rerun.Scalars([result.dropped]))


class RerunFileSink(_RerunSink):
    """Writes a `.rrd` file, four times a second; after a kill or on a full disk all before is readable.

    The file is begun with the first result; an earlier one of ours is replaced, any other refused. At its end comes an
    index, for which `close` takes about a second per 80 MB; where that takes more than a minute, or fails, the file is
    whole without one, and a warning says so. Its format is that of
    the rerun-sdk that is installed; viewers of the same version or a later one read it (0.23 and later).

    Args:
        url: `rerun:OUT.rrd`; `frames` is `jpeg` if not given, or `raw` or `none`.
        network: whose labels they are.

    Raises:
        MediaError: it cannot be written to, or is another program's.
        OptionError: `frames` cannot be meant.
    """

    def __init__(self, url: SourceUrl, network: SinkNetwork) -> None:
        self._path = Path(url.rest)
        super().__init__(f"Rerun file '{self._path}'", url, network)
        if self._path.suffix.lower() != ".rrd":
            raise OptionError(f"--output {url.text!r}: end the name of a Rerun file in .rrd")
        check_own(self._path, self.name, marks=_MARKS)
        self._file: AppendFile | None = None
        self._written = self._readable = self._whole_bytes = 0
        self._flushed = 0.0
        self._ended = False

    def write(self, result: LiveResult) -> None:
        """See `LiveSink`."""
        self.require_own_process("write()")
        if self._ended:
            raise MediaError(f"writing the {self.name}: it was finished before and takes no more")
        if self._file is None:
            self._begin()
        self._log(result)
        self._written += 1
        if time.monotonic() - self._flushed >= _WRITE_S:
            self._flush()

    def close(self) -> None:
        """See `LiveSink`; nothing in a forked child."""
        if self.stranded or self._ended or self._file is None:
            return
        self._flush()
        self._ended = True
        try:
            if self._index():
                self._file.close()
                self._check()
        finally:
            self._let_go()

    def _index(self) -> bool:
        """Put the index behind all results; without it the file is whole as well, and slower to look into."""
        assert self._file is not None
        try:
            if not self._path.is_file():
                return True  # a device
            add_index(self._path, self._file)
        except BaseException as error:
            self._file.cut(self._whole_bytes)
            if not isinstance(error, (OSError, subprocess.SubprocessError, RuntimeError, ValueError)):
                raise
            logger.warning(
                "writing the %s: all results are in it, but not the index that 'rerun rrd verify' looks for (%s); "
                "'rerun rrd filter IN.rrd -o OUT.rrd' makes a file that has it",
                self.name,
                reason(error) if isinstance(error, OSError) else error,
            )
            return False
        return True

    def _begin(self) -> None:
        check_own(self._path, self.name, marks=_MARKS)  # what another program made of it meanwhile
        try:
            self._file = AppendFile(self._path)
        except OSError as error:
            self._ended = True  # as where writing fails: whoever has the file now, keeps it
            raise MediaError(f"writing the {self.name}: {reason(error)}") from error
        try:
            self._recording = rerun.RecordingStream(_APPLICATION)
            # Not save(): where its thread meets a full disk, flush() and the interpreter's end may wait for ever (0.41).
            self._stream = self._recording.binary_stream()
        except BaseException:
            self._end()
            raise

    def _flush(self) -> None:
        """Write what Rerun has made of the results so far."""
        assert self._file is not None
        data = self._stream.read()
        if data:
            try:
                self._file.write(rrd_messages(data, with_head=not self._file.size))
            except ValueError as error:
                self._end()
                raise MediaError(
                    f"writing the {self.name}: rerun-sdk {rerun.__version__} writes a form that is not known "
                    f"({error}); install another: pip install 'tdnet-deploy[rerun]'"
                ) from error
        self._check()
        self._whole_bytes = self._file.size
        self._readable = self._written
        self._flushed = time.monotonic()

    def _check(self) -> None:
        """Raise MediaError where writing failed; the file then ends with the last whole result."""
        assert self._file is not None
        error = self._file.error
        if error is not None:
            self._end()
            raise MediaError(
                f"writing the {self.name} stopped after {self._written} results: {reason(error)}; the first "
                f"{self._readable} can be read"
            ) from error

    def _end(self) -> None:
        assert self._file is not None
        self._ended = True
        try:
            self._file.cut(self._whole_bytes)
        finally:
            self._let_go()


class RerunServerSink(_RerunSink):
    """Serves results to Rerun's viewers on this machine; without one they are kept up to a limit, oldest dropped.

    Args:
        url: `rerun+serve://` or with a port, `rerun+serve://127.0.0.1:9876`; an address of another of this machine's
            networks lets others connect. `memory` is `256MB` if not given; `frames` as for files.
        network: whose labels they are.

    Raises:
        MediaError: the server does not start.
        OptionError: an address or value that cannot be meant.
    """

    def __init__(self, url: SourceUrl, network: SinkNetwork) -> None:
        match = _ADDRESS.fullmatch(url.rest or "//")
        if match is None:
            raise OptionError(f"--output {url.text!r}: expected rerun+serve://HOST:PORT, or rerun+serve://")
        memory = url.params.get("memory", "256MB")
        if not re.fullmatch(r"[0-9]+ ?([kMG]i?B|%)", memory):
            raise OptionError(f"--output {url.text!r}: memory is {memory!r}; expected such as 256MB or 5%")
        host = "127.0.0.1" if match["host"] in _LOOPBACK else match["host"]
        port = int(match["port"] or 9876)
        super().__init__(f"Rerun server at {host}:{port}", url, network)
        self._server = RerunServer(host, port, memory=memory)
        self._recording = rerun.RecordingStream(_APPLICATION)
        self._recording.connect_grpc(self._server.address)

    def write(self, result: LiveResult) -> None:
        """See `LiveSink`."""
        self.require_own_process("write()")
        self._server.require_running()  # without it log() waits for ever (rerun-sdk 0.41)
        self._log(result)

    def close(self) -> None:
        """Stop serving. Safe to call twice; nothing in a forked child."""
        if self.stranded or self._recording is None:
            return
        if self._server.running:
            with contextlib.suppress(RuntimeError):
                self._recording.flush(timeout_sec=_FLUSH_S)
        try:
            self._let_go()
        finally:
            self._server.close()


def _end_threads() -> None:
    """End those of recordings that nobody has any more. The application's own one stays, which Rerun would drop (0.41)."""
    own = rerun.get_global_data_recording()
    try:
        rerun_bindings.flush_and_cleanup_orphaned_recordings()
    except RuntimeError as error:  # of another recording, whose viewer has gone
        logger.info("ending a Rerun recording: %s", error)
    finally:
        if own is not None:
            rerun.set_global_data_recording(own)
