"""Child processes with a time limit that nothing outlives."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = ["DONE", "Ended", "how_it_ended", "library_folders", "run_limited", "with_libraries"]

DONE = "done"
_TAIL = 1500


class Ended(NamedTuple):
    """How a process ended (`DONE`, its time limit, a signal, an exit code), its seconds, and the last of what it wrote."""

    how: str
    seconds: float
    said: str


def run_limited(
    command: Sequence[str],
    limit_s: float,
    *,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Ended:
    """Run a command until it ends or its time is up; its whole process group ends with it."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env=None if environment is None else dict(environment),
            cwd=cwd,
            start_new_session=True,
        )
        code: int | None = None
        try:
            code = child.wait(limit_s)
        except subprocess.TimeoutExpired:
            pass
        finally:  # after Ctrl-C, too
            with contextlib.suppress(ProcessLookupError):  # it has ended with all that it started
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        said.seek(0)
        text = said.read().decode(errors="replace").strip()[-_TAIL:]
    return Ended(how_it_ended(code, limit_s=limit_s), round(time.monotonic() - started, 1), text)


def how_it_ended(code: int | None, *, limit_s: float) -> str:
    """An exit code in words; None for one that was ended after `limit_s`."""
    if code is None:
        return f"ended after its limit of {limit_s:.0f} s"
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return DONE if code == 0 else f"exit code {code}"


def library_folders(search_path: Iterable[Path]) -> list[Path]:
    """Folders of the CUDA libraries that NVIDIA's wheels bring, which other wheels do not find by themselves."""
    return [lib for folder in search_path for lib in sorted(folder.glob("nvidia/*/lib")) if lib.is_dir()]


def with_libraries(environment: Mapping[str, str], folders: Iterable[Path]) -> dict[str, str]:
    """The environment with `folders` at the end of where libraries are looked for."""
    known = environment.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    path = os.pathsep.join(dict.fromkeys(filter(None, [*known, *map(str, folders)])))
    return {**environment, "LD_LIBRARY_PATH": path} if path else dict(environment)
