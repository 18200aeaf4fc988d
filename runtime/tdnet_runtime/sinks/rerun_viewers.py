"""Results served to Rerun's viewers that come and go."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

import rerun

from tdnet_runtime.errors import OptionError
from tdnet_runtime.sinks.rerun_recording import APPLICATION, RerunRecording
from tdnet_runtime.sinks.rerun_server import RerunServer
from tdnet_runtime.sinks.sink import SinkNetwork
from tdnet_runtime.sources.source_url import SourceUrl

if TYPE_CHECKING:
    from tdnet_runtime.live.result import LiveResult

__all__ = ["RerunServerSink"]

_FLUSH_S = 1.0
_ADDRESS = re.compile(r"//(?P<host>[^:/]*)(?::(?P<port>[0-9]{1,5}))?/?")
_LOOPBACK = ("", "127.0.0.1", "localhost")


class RerunServerSink(RerunRecording):
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
        if port > 65535:
            raise OptionError(f"--output {url.text!r}: the port is {port}, expected 65535 at the most")
        super().__init__(f"Rerun server at {host}:{port}", url, network)
        self._server = RerunServer(host, port, memory=memory)
        self._recording = rerun.RecordingStream(APPLICATION)
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
