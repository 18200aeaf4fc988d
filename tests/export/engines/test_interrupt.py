"""Ctrl-C and other ends of a build, with real processes: nothing stays, neither processes nor files."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.export.engines.conftest import BUILDS, toy_graph
from tests.guard import running

from tdnet_export.engines import build_engines
from tdnet_runtime.errors import ExportError

pytestmark = BUILDS

# A builder that does not come back, and says so where the test can see it.
ENDLESS = """
import os, pathlib, signal, time
import tensorrt_rtx
from tensorrt_rtx import *
from tdnet_export.engines import device

__version__ = "11.4.0.106"
device.compute_capability = lambda: "8.7"


class Builder(tensorrt_rtx.Builder):
    def build_serialized_network(self, network, config):
        pathlib.Path(os.environ["TEST_PID_FILE"]).write_text(str(os.getpid()))
        {ends}
        while True:
            try:
                time.sleep(600)
            except KeyboardInterrupt:
                pass  # as in C++ that calls back into Python and must not raise
"""
PROGRAM = """
from tdnet_runtime.extras import launch
launch("a-program", "program:run", extra="export")
"""
RUN = """
from tdnet_export.engines import build_engines

def run():
    build_engines({{"toy": {graph!r}}}, backend="tensorrt", precision="fp16")
"""


@pytest.fixture
def endless(tmp_path, monkeypatch):
    """endless(ends): a module `tensorrt` whose builds sleep, after they ran the statement `ends`."""

    def install(ends="pass"):
        folder = tmp_path / "site" / "tensorrt"
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text(ENDLESS.format(ends=ends))
        (folder.parent / "program.py").write_text(RUN.format(graph=toy_graph()))
        (tmp_path / "tmp").mkdir()
        monkeypatch.setattr(sys, "path", [str(folder.parent), *sys.path])
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
        monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
        monkeypatch.setenv("TDNET_TIMING_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("TEST_PID_FILE", str(tmp_path / "pid"))
        return tmp_path / "pid"

    return install


def wait_for(condition, seconds=30):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def is_alive(pid):
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.fixture
def building(endless, tmp_path):
    """A program in the midst of a build: (its process, the process id of the child)."""
    pid_file = endless()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    options = {"env": environment, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with running([sys.executable, "-c", PROGRAM], **options) as process:
        wait_for(lambda: process.poll() is not None or (pid_file.exists() and pid_file.read_text()))
        assert process.poll() is None, process.communicate()
        yield process, int(pid_file.read_text())


@pytest.mark.parametrize("to_group", [True, False])
def test_ctrl_c_ends_a_build_cleanly(building, to_group, tmp_path):
    process, child = building
    if to_group:  # as a terminal does it
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert (process.returncode, stderr) == (130, "a-program: interrupted\n")
    assert not is_alive(child)
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_sigterm_ends_a_build_cleanly(building, number, tmp_path):
    process, child = building
    process.send_signal(number)
    _, stderr = process.communicate(timeout=20)
    assert (process.returncode, stderr) == (128 + number, "a-program: terminated\n")
    assert not is_alive(child)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_child_dies_with_its_parent(building):
    process, child = building
    process.kill()
    wait_for(lambda: not is_alive(child), 10)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_child_alone_is_an_interruption(building, number, tmp_path):
    process, child = building
    os.kill(child, number)
    _, stderr = process.communicate(timeout=20)
    assert (process.returncode, stderr) == (130, "a-program: interrupted\n")
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("ends", "message"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "was killed by SIGKILL, probably since memory ran out"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "was killed by SIGSEGV"),
        ("print('a last word', flush=True); os._exit(3)", "ended with exit code 3: a last word"),
        (
            "raise RuntimeError('a defect')",
            r"could not build graph .toy. .with Polygraphy \d.*RuntimeError: a defect",
        ),
        ("os._exit(0)", "ended with exit code 0: it said nothing"),
    ],
)
def test_a_child_that_dies_is_an_error(endless, ends, message, tmp_path):
    endless(ends)
    with pytest.raises(ExportError, match=message):
        build_engines({"toy": toy_graph()}, backend="tensorrt", precision="fp16")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_an_interruption_in_the_callers_progress_ends_the_child(endless, tmp_path):
    endless()

    def interrupt(event):
        if event.graph:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_engines({"toy": toy_graph()}, backend="tensorrt", precision="fp16", on_progress=interrupt)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_full_or_absent_temporary_folder_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    with pytest.raises(ExportError, match="set TMPDIR to one that has it"):
        build_engines({"toy": toy_graph()}, backend="tensorrt-rtx", precision="fp16")
