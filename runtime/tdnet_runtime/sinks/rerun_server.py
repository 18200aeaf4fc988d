"""Rerun's own server as a process beside this one, on loopback and silent.

`rerun.serve_grpc` of rerun-sdk 0.41 listens on all of a machine's networks, whatever address it names.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from concurrent.futures import Future
from pathlib import Path
from typing import IO

from tdnet_runtime.closeable import Closeable
from tdnet_runtime.errors import MediaError
from tdnet_runtime.sinks.listening import answers
from tdnet_runtime.sinks.rerun_program import rerun_program, silent_environment

__all__ = ["RerunServer"]

_START_S = 20.0
_LOOK_S = 0.05
_END_S = 5.0


class RerunServer(Closeable):
    """Serves from its making on until it is closed or this process ends, whichever of its threads made it.

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
        options = ["--serve-grpc", "--bind", host, "--port", str(port), "--server-memory-limit", memory]
        try:
            folder = tempfile.mkdtemp(prefix="tdnet-rerun-")
        except OSError as error:
            raise self._not_started(error) from error
        self._remove_folder = weakref.finalize(self, _remove, folder, os.getpid())
        self._log = Path(folder) / "log"
        try:
            own = silent_environment(folder)
            with self._log.open("wb") as log:
                command = [sys.executable, "-c", _CHILD, str(os.getpid()), rerun_program(), *options]
                self._process = _started(command, own, log)
        except (OSError, subprocess.SubprocessError, RuntimeError) as error:
            self._remove_folder()
            raise self._not_started(error) from error
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
        self._remove_folder()

    def _not_started(self, error: Exception) -> MediaError:
        return MediaError(f"serving to Rerun at {self._where}: its program does not start: {error}")

    def _words(self) -> str:
        """The last line that it wrote, for a message."""
        try:
            lines = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
        except OSError:
            return ""
        told = [line.strip() for line in lines if line.strip()]
        return f" ({told[-1][:200]})" if told else ""


def _started(command: list[str], environment: dict[str, str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    """The server's process, started by a thread that lives as long as it does.

    Linux tells a process that its parent has ended (PR_SET_PDEATHSIG) when the parent's thread ends that started it.

    Raises:
        OSError: it does not start.
        RuntimeError: no thread can be started.
    """
    started: Future[subprocess.Popen[bytes]] = Future()

    def keep() -> None:
        try:
            process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        except BaseException as error:
            started.set_exception(error)
            return
        started.set_result(process)
        with contextlib.suppress(ChildProcessError):  # somebody has taken note of its end already
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    threading.Thread(target=keep, daemon=True, name="tdnet-rerun-server").start()
    return started.result()


def _remove(folder: str, owner: int) -> None:
    """Remove a folder, but not at the end of a process that its owner forked."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


# The server's program, which ends when its parent does, however that ends.
_CHILD = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""
