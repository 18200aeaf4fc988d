"""Rerun's own server as a process beside this one, on loopback and silent.

`rerun.serve_grpc` of rerun-sdk 0.41 listens on all of a machine's networks, whatever address it names.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import MediaError
from tdnet_runtime.sinks.listening import answers
from tdnet_runtime.sinks.rerun_program import rerun_program, silent_environment

__all__ = ["RerunServer"]

_START_S = 20.0
_LOOK_S = 0.05
_END_S = 5.0


class RerunServer(Closeable):
    """Serves from its making on until it is closed or this process ends.

    Args:
        host: address to listen at.
        port: to listen at.
        memory: how much it keeps for viewers that come later.

    Raises:
        MediaError: the port is in use, or the server does not start.
    """

    def __init__(self, host: str, port: int, *, memory: str) -> None:
        self.address = f"rerun+http://{host}:{port}/proxy"
        self._where = f"{host}:{port}"
        if answers(host, port):
            raise MediaError(
                f"serving to Rerun at {self._where}: the port is in use; name another: rerun+serve://{host}:{port + 1}"
            )
        self._folder = tempfile.TemporaryDirectory(prefix="tdnet-rerun-")
        options = ["--serve-grpc", "--bind", host, "--port", str(port), "--server-memory-limit", memory]
        self._log = Path(self._folder.name) / "log"
        try:
            own = silent_environment(self._folder.name)
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", _CHILD, str(os.getpid()), rerun_program(), *options],
                    env=own,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
        except (OSError, subprocess.SubprocessError) as error:
            self._folder.cleanup()
            raise MediaError(
                f"serving to Rerun at {self._where}: its program does not start: {error}"
            ) from error
        end = time.monotonic() + _START_S
        while not answers(host, port):
            if time.monotonic() > end or not self.running:
                words = self._words()
                self.close()
                raise MediaError(f"serving to Rerun at {self._where}: its server does not start{words}")
            time.sleep(_LOOK_S)

    @property
    def running(self) -> bool:
        """The server's process is there."""
        return self._process.poll() is None

    def require_running(self) -> None:
        """Raise MediaError where the server has ended."""
        if not self.running:
            raise MediaError(f"serving to Rerun at {self._where}: its server has ended{self._words()}")

    def close(self) -> None:
        """End the server. Safe to call twice."""
        if self.running:
            self._process.terminate()
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        with contextlib.suppress(OSError):
            self._folder.cleanup()

    def _words(self) -> str:
        """The last line that it wrote, for a message."""
        try:
            lines = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
        except OSError:
            return ""
        told = [line.strip() for line in lines if line.strip()]
        return f" ({told[-1][:200]})" if told else ""


# The server's program, which ends when its parent does, however that ends.
_CHILD = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""
