"""What a test run inherits changes nothing, and a test that is stuck ends with all that it started.

Imported by `conftest.py`: in each process of pytest, before any test.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

LIMIT_S = 600
"""Of a test: tens of times what the longest takes. Those that are `slow` have six times as much."""
VARIABLES = (
    *("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "TERM", "TTY_COMPATIBLE"),
    *(
        "TTY_INTERACTIVE",
        "PYTHONWARNINGS",
        "PYTHONUNBUFFERED",
        "PYTHONIOENCODING",
        "PYTHONUTF8",
        "PYTHONSAFEPATH",
    ),
    *("PYTHONDEVMODE", "PYTHONOPTIMIZE", "PYTHONINSPECT", "PYTHONVERBOSE", "PYTHONPROFILEIMPORTTIME"),
)
"""Of a user's environment, on which what is printed or imported depends: tests set those that they mean."""
IGNORED_BY_PYTHON = {signal.SIGPIPE, signal.SIGXFSZ}
SERVICES = (b"multiprocessing.resource_tracker", b"multiprocessing.forkserver")
"""Processes of Python's own that live as long as their parent."""


def forget_what_was_inherited() -> None:
    """Signals that are ignored (by nohup, or in a shell's background) or blocked, the umask, and `VARIABLES`."""
    for number in signal.valid_signals() - IGNORED_BY_PYTHON:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.umask(0o022)
    for variable in VARIABLES:
        os.environ.pop(variable, None)


def children(pid: int | str = "self") -> set[int]:
    """Of a process; none where the kernel does not tell."""
    found: set[int] = set()
    tasks = f"/proc/{pid}/task"
    try:
        for task in os.listdir(tasks):  # noqa: PTH208 (it is called for each test)
            with open(f"{tasks}/{task}/children") as listing:  # noqa: PTH123
                found.update(map(int, listing.read().split()))
    except OSError:  # a thread, or the process, has ended
        pass
    return found


def end(pids: set[int]) -> None:
    """Kill them and what they started, but for `SERVICES`; who started one still reaps it."""
    for pid in pids:
        below = children(pid)
        try:
            if not any(service in Path(f"/proc/{pid}/cmdline").read_bytes() for service in SERVICES):
                os.kill(pid, signal.SIGKILL)
                end(below)
        except OSError:  # it has ended
            continue


@contextmanager
def running(command: Sequence[object], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """`with subprocess.Popen(…)` that kills it in the end, or a failed assertion would wait for it, for ever."""
    with subprocess.Popen(list(map(str, command)), **options) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """No process outlives its test, and a test that does not end fails, once what it may wait for is killed."""
    before = children()

    def give_up(number: int, frame: object) -> None:
        end(children() - before)
        pytest.fail(f"it did not end in {limit_s:g} s: what it had started was killed")

    limit_s = float(os.environ.get("TDNET_TEST_LIMIT_S", LIMIT_S))
    if item.get_closest_marker("slow"):
        limit_s *= 6
    if item.config.getoption("usepdb") or sys.gettrace():
        limit_s = 0.0  # none: somebody is looking
    handler = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, limit_s, 10)  # again, should the failure be caught
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        end(children() - before)
