"""Child processes with a time limit that nothing outlives."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from tdnet_bench.gpu_check.child import read_steps
from tdnet_bench.gpu_check.job import Job
from tdnet_bench.gpu_check.records import PartRun

__all__ = ["DONE", "how_it_ended", "launch", "library_folders", "run_limited", "with_libraries"]

DONE = "done"
_TAIL = 1500


def launch(job: Job) -> PartRun:
    """Run a part in a process of its own until it ends or its time is up."""
    stem = f"{job.part}-{job.name or 'all'}"
    orders, steps, said = (
        job.folder / f"{stem}{suffix}" for suffix in (".job.json", ".steps.jsonl", ".stderr")
    )
    orders.write_bytes(msgspec.json.encode(job))
    command = [sys.executable, "-m", "tdnet_bench.gpu_check.child", str(orders), str(steps)]
    environment = with_libraries(os.environ, library_folders(map(Path, sys.path)))
    started = time.monotonic()
    ended = run_limited(command, limit_s=job.limit_s, stderr=said, environment=environment)
    tail = said.read_text(errors="replace")[-_TAIL:].strip()
    return PartRun(
        part=job.part,
        bundle=job.name,
        ended=ended,
        seconds=round(time.monotonic() - started, 1),
        limit_s=job.limit_s,
        steps=read_steps(steps),
        said=None if ended == DONE else tail or None,
    )


def run_limited(command: list[str], *, limit_s: float, stderr: Path, environment: Mapping[str, str]) -> str:
    """Run a command; what ended it, `DONE` if it did so well. Its whole process group ends with it."""
    with stderr.open("wb") as file:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env=dict(environment),
            start_new_session=True,
        )
        code: int | None = None
        try:
            code = child.wait(limit_s)
        except subprocess.TimeoutExpired:
            pass
        finally:  # after Ctrl-C, too
            _kill_group(child)
    return how_it_ended(code, limit_s=limit_s)


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


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended with all that it started
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
