"""The guard of `guard.py`, in runs of pytest of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.guard import children

ROOT = Path(__file__).parents[1]
CONFTEST = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.guard import forget_what_was_inherited, pytest_runtest_call
forget_what_was_inherited()
"""
INHERITED = """
import os, signal, subprocess, sys

def test_here():
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert os.umask(0o022) == 0o022
    assert "COLUMNS" not in os.environ

def test_in_children():
    lines = "import signal; print(*(signal.getsignal(n) == signal.SIG_IGN for n in (1, 3, 15, 17)))"
    lines += "; print(signal.pthread_sigmask(0, ()))"
    assert subprocess.check_output([sys.executable, "-c", lines]) == b"False False False False\\nset()\\n"
"""
STUCK = """
import subprocess, sys

GRANDCHILD = "import subprocess, sys, time; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"

def start(lines):
    return subprocess.Popen([sys.executable, "-c", lines, "of the guard's test"], stdout=subprocess.PIPE)

def test_stuck():
    with start("import time; time.sleep(600)") as process:
        process.stdout.read()

def test_stuck_on_leaving():
    with start(GRANDCHILD):
        raise AssertionError

def test_forgotten():
    start("import time; time.sleep(600)").stdout.close()

def test_after():
    pass
"""


def run(folder: Path, lines: str, **options: object) -> str:
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(lines)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
        "-q",
        "--rootdir",
        folder,
    ]
    done = subprocess.run(
        [*command, "-W", "ignore::pytest.PytestUnraisableExceptionWarning", folder],
        cwd=folder, capture_output=True, text=True, **options,
    )  # fmt: skip
    return done.stdout


def test_what_is_inherited_is_forgotten(tmp_path: Path) -> None:
    def spoil() -> None:
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
        os.umask(0o077)

    said = run(tmp_path, INHERITED, preexec_fn=spoil, env={**os.environ, "COLUMNS": "20"})
    assert "2 passed" in said, said


@pytest.mark.skipif(
    not Path(f"/proc/self/task/{os.getpid()}/children").exists(), reason="the kernel lists no children"
)
def test_a_stuck_test_ends_with_all_that_it_started(tmp_path: Path) -> None:
    said = run(tmp_path, STUCK, env={**os.environ, "TDNET_TEST_LIMIT_S": "1"})
    assert "2 failed, 2 passed" in said, said
    assert said.count("it did not end in 1 s") >= 2
    until = time.monotonic() + 20
    while time.monotonic() < until and (
        left := [p for p in Path("/proc").glob("[0-9]*") if str(tmp_path) in links(p)]
    ):
        time.sleep(0.1)
    assert left == []


def links(process: Path) -> str:
    """Its current folder."""
    try:
        return str((process / "cwd").readlink())
    except OSError:
        return ""


def test_children_are_seen() -> None:
    before = children()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        if Path(f"/proc/self/task/{os.getpid()}/children").exists():
            assert children() - before == {process.pid}
