"""The index at the end of Rerun's files, made by Rerun's own program."""

from __future__ import annotations

import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import IO

from tdnet_runtime.media.append_file import AppendFile
from tdnet_runtime.sinks.rerun_program import rerun_program, silent_environment

__all__ = ["add_index"]

_LIMIT_S = 60.0  # about 5 GB on a slow core
_PIECE_BYTES = 1 << 20


def add_index(path: Path, file: AppendFile) -> None:
    """Append the index that Rerun's program makes for what is in a file.

    `rerun rrd filter` without a filter repeats a file byte by byte and puts the index behind it (rerun-sdk 0.41). Only
    what is behind is written, so that no second copy takes up the disk, and nobody's memory holds the file.

    Args:
        path: of the file.
        file: where it is being written to.

    Raises:
        OSError, subprocess.SubprocessError: it cannot be made or written; part of it may be there.
        RuntimeError: the interpreter ends and starts no threads any more.
        ValueError: the program repeats the file in another way.
    """
    with tempfile.TemporaryDirectory(prefix="tdnet-rerun-") as folder, path.open("rb") as written:
        program, own = rerun_program(), silent_environment(folder)
        options = subprocess.run(
            [program, "rrd", "verify", "--help"],
            env=own,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_LIMIT_S,
            check=True,
        )
        if b"--check-footers" not in options.stdout:
            return  # nor does an older version look for one (0.23, 0.28)
        process = subprocess.Popen(
            [program, "rrd", "filter", str(path.absolute())],
            env=own,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # an interrupt at the terminal is for this process, which ends it
        )
        until_s = time.monotonic() + _LIMIT_S
        timer = threading.Timer(_LIMIT_S, process.kill)
        timer.daemon = True
        with process:
            try:
                timer.start()
                assert process.stdout is not None
                _append_rest(process.stdout, written, file)
                failed = process.wait() != 0
            except BaseException:
                process.kill()
                raise
            finally:
                timer.cancel()
        if failed and time.monotonic() >= until_s:
            raise subprocess.TimeoutExpired("rerun rrd filter", _LIMIT_S)
        if failed:
            raise subprocess.CalledProcessError(process.returncode, "rerun rrd filter")


def _append_rest(source: IO[bytes], written: IO[bytes], file: AppendFile) -> None:
    """Append what `source` has behind what is in the file; nothing where it ends earlier."""
    rest = file.size
    while rest:
        piece = source.read(min(rest, _PIECE_BYTES))
        if not piece:
            return
        if piece != written.read(len(piece)):
            raise ValueError("rerun rrd filter changes what is in it")
        rest -= len(piece)
    while piece := source.read(_PIECE_BYTES):
        file.write(piece)
        if file.error is not None:
            raise file.error
