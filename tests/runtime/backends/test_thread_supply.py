"""Threads that the system does not give are an error, and never a wait without an end."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from tdnet_runtime.backends import thread_supply
from tdnet_runtime.backends.thread_supply import require_threads, thread_count
from tdnet_runtime.errors import BackendError

LIMITED = """
import contextlib, ctypes, os, pathlib, resource

def limit_threads(more):
    \"\"\"Let this process have no more than `more` further threads: the kernel's limit on a user's processes.\"\"\"
    libc = ctypes.CDLL(None, use_errno=True)
    if os.getuid() == 0:  # root has no such limit: another user for the count, without the rights that lift it
        os.setresuid(os.getpid() + 100_000, 0, 0)
        header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        assert libc.capget(header, sets) == 0
        lifting = 1 << 21 | 1 << 24  # CAP_SYS_ADMIN, CAP_SYS_RESOURCE
        sets[0] &= ~lifting
        sets[1] &= ~lifting
        assert libc.capset(header, sets) == 0
        own = len(list(pathlib.Path("/proc/self/task").iterdir()))
    else:
        own = 0
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # others come and go
                own += len(list((process / "task").iterdir())) if process.stat().st_uid == os.getuid() else 0
    _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    resource.setrlimit(resource.RLIMIT_NPROC, (own + more, hard))
"""

_SUPPLY = f"""{LIMITED}
from tdnet_runtime.backends.thread_supply import require_threads
from tdnet_runtime.errors import BackendError
limit_threads(5)
require_threads(5, engine="X", purpose="none")
require_threads(5, engine="X", purpose="none")
try:
    require_threads(6, engine="X", purpose="none")
except BackendError as error:
    print(error)
require_threads(5, engine="X", purpose="none")
"""

_OPENED = f"""{LIMITED}
import sys
from tdnet_runtime import Segmenter
from tdnet_runtime.backends.no_telemetry import import_without_telemetry
from tdnet_runtime.errors import BackendError
from tdnet_runtime.backends import thread_supply
thread_supply.usable_cpus = lambda: 64  # a machine that is larger than what may be started on it
_, backend, bundle, threads, more = sys.argv
import_without_telemetry(backend)  # it may start threads of its own
limit_threads(int(more))
try:
    with Segmenter.open(bundle, backend=backend, threads=int(threads)) as segmenter:
        print("opened")
except BackendError as error:
    print(error)
"""


def run(lines: str, env: dict[str, str], *arguments: object) -> str:
    """What a process prints; it has a minute, where the fault would be a process that waits for ever."""
    done = subprocess.run(
        [sys.executable, "-c", lines, *map(str, arguments)],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


needs_linux = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="limits are Linux's")


@needs_linux
def test_all_or_an_error_that_says_how_many(child_env: dict[str, str]) -> None:
    said = run(_SUPPLY, child_env)
    assert said == (
        "X needs 6 threads (none), and the system starts 5: it limits processes and threads (ulimit -u, a container's "
        "pids limit) or memory. Ask for fewer threads (threads=N, --threads N), or raise the limit."
    )


@needs_linux
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_an_engine_without_its_threads(backend: str, law_bundle: Path, child_env: dict[str, str]) -> None:
    pytest.importorskip(backend)
    assert "needs" in (said := run(_OPENED, child_env, backend, law_bundle, 64, 3))
    assert "the system starts 3" in said
    assert run(_OPENED, child_env, backend, law_bundle, 1, 64) == "opened"


def test_nothing_is_left_running() -> None:
    before = threading.active_count()
    require_threads(9, engine="X", purpose="none")
    assert threading.active_count() == before


def test_a_failure_ends_those_that_were_started(monkeypatch: pytest.MonkeyPatch) -> None:
    start, before = threading.Thread.start, threading.active_count()
    given = []

    def limited(thread: threading.Thread) -> None:
        if len(given) == 2:
            raise RuntimeError("can't start new thread")
        given.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    with pytest.raises(BackendError, match=r"X needs 3 threads \(work\), and the system starts 2"):
        require_threads(3, engine="X", purpose="work")
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("asked", "given", "told"), [(None, 4, False), (1, 1, False), (4, 4, False), (5, 4, True)]
)
def test_how_many(
    asked: int | None,
    given: int,
    told: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(thread_supply, "usable_cpus", lambda: 4)
    with caplog.at_level(logging.WARNING):
        assert thread_count(asked) == given
    assert [("threads is 5, and 4 can compute at once" in message) for message in caplog.messages] == [
        True
    ] * told


@needs_linux
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_many_threads_do_not_make_many_threads(
    backend: str, law_bundle: Path, child_env: dict[str, str]
) -> None:
    """64 were asked on a machine of two cores: it was 63 for each graph."""
    pytest.importorskip(backend)
    lines = """
import sys
from pathlib import Path
from tdnet_runtime import Segmenter
from tdnet_runtime.backends import thread_supply
from tdnet_runtime.backends.no_telemetry import import_without_telemetry
thread_supply.usable_cpus = lambda: 2
_, backend, bundle = sys.argv
import_without_telemetry(backend)
tasks = lambda: sum(1 for _ in Path("/proc/self/task").iterdir())
before = tasks()
with Segmenter.open(bundle, backend=backend, threads=64) as segmenter, segmenter.stream():
    graphs = len(segmenter.manifest.graphs)
    print(tasks() - before <= 2 + 2 * graphs)
"""
    assert run(lines, child_env, backend, law_bundle) == "True"


@needs_linux
def test_a_providers_graphs_have_no_pools() -> None:
    """A GPU computes; ONNX Runtime would make a pool of all cores for each graph, had it not been told."""
    ort = pytest.importorskip("onnxruntime")
    from tdnet_runtime.backends.ort_provider import Provider, _session

    made: list[object] = []

    def session(data: bytes, options: object, **_: object) -> SimpleNamespace:
        made.append(options)
        return SimpleNamespace(get_providers=lambda: ["P"])

    fake = SimpleNamespace(SessionOptions=ort.SessionOptions, InferenceSession=session)
    _session(fake, Provider("P", "cpu"), "graph", b"", {}, without=())
    assert [options.intra_op_num_threads for options in made] == [1]  # type: ignore[attr-defined]
