"""Results in a file of Rerun's."""

from __future__ import annotations

import logging
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import rerun

from tdnet_runtime.errors import MediaError, OptionError
from tdnet_runtime.media.append_file import AppendFile
from tdnet_runtime.media.frames import reason
from tdnet_runtime.sinks.own_file import check_own
from tdnet_runtime.sinks.rerun_recording import APPLICATION, RerunRecording
from tdnet_runtime.sinks.rrd import rrd_messages
from tdnet_runtime.sinks.rrd_index import add_index
from tdnet_runtime.sinks.sink import SinkNetwork
from tdnet_runtime.sources.source_url import SourceUrl

if TYPE_CHECKING:
    from tdnet_runtime.live.result import LiveResult

__all__ = ["RerunFileSink"]

logger = logging.getLogger(__name__)

_MARKS = (b"RRF2", APPLICATION.encode())  # of an earlier file
_WRITE_S = 0.25  # each piece has 6 kB of its own, and takes a few ms


class RerunFileSink(RerunRecording):
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
            self._recording = rerun.RecordingStream(APPLICATION)
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
