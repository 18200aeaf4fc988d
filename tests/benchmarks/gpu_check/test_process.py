"""Parts that hang, crash or end early cost themselves alone, and leave their steps."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from tdnet_bench.gpu_check import process
from tdnet_bench.gpu_check.child import read_steps, step_writer
from tdnet_bench.gpu_check.job import Job
from tdnet_bench.gpu_check.process import (
    DONE,
    how_it_ended,
    launch,
    library_folders,
    run_limited,
    with_libraries,
)


def run(code: str, tmp_path: Path, *, limit_s: float = 60) -> str:
    return run_limited(
        [sys.executable, "-c", code], limit_s=limit_s, stderr=tmp_path / "said", environment=os.environ
    )


def test_ends(tmp_path: Path) -> None:
    assert run("print('hello')", tmp_path) == DONE
    assert (tmp_path / "said").read_text() == "hello\n"
    assert run("raise SystemExit(3)", tmp_path) == "exit code 3"
    assert run("import os; os.kill(os.getpid(), 11)", tmp_path) == "killed by SIGSEGV"
    assert how_it_ended(None, limit_s=7) == "ended after its limit of 7 s"


def test_a_hanging_part_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    code = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
time.sleep(600)
"""
    started = time.monotonic()
    assert run(code, tmp_path, limit_s=2) == "ended after its limit of 2 s"
    assert time.monotonic() - started < 30
    grandchild = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if not _runs(grandchild):
            break
        time.sleep(0.1)
    assert not _runs(grandchild)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_steps_are_there_before_the_end(tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"
    with path.open("ab") as file:
        log = step_writer(file)
        log.ask("one", lambda: 1)
        assert [step.name for step in read_steps(path)] == ["one"]
        file.write(b'{"name": "cut o')
    assert [step.name for step in read_steps(path)] == ["one"]
    assert read_steps(tmp_path / "absent") == ()


def test_a_part_without_a_gpu(tmp_path: Path) -> None:
    """A real process; this machine's PyTorch has no CUDA, or finds no GPU."""
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    run = launch(Job(part="roofline", work=str(tmp_path), rounds=1, pictures=4, limit_s=100))
    assert run.ended == DONE
    (step,) = run.steps
    assert not step.ok
    assert "PyTorch" in (step.error or "")
    assert run.said is None


def test_a_part_that_crashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process.sys, "executable", "/bin/false")  # type: ignore[attr-defined]
    run = launch(Job(part="cuda", work=str(tmp_path), rounds=1, pictures=4, limit_s=100, name="x"))
    assert (run.ended, run.steps, run.said) == ("exit code 1", (), None)


def test_libraries_of_wheels_are_found(tmp_path: Path) -> None:
    for name in ("cudnn", "cu13"):
        (tmp_path / "nvidia" / name / "lib").mkdir(parents=True)
    (tmp_path / "nvidia" / "other").mkdir()
    folders = library_folders([tmp_path, tmp_path / "absent"])
    assert folders == [tmp_path / "nvidia" / "cu13" / "lib", tmp_path / "nvidia" / "cudnn" / "lib"]
    joined = ":".join(map(str, folders))
    assert with_libraries({"A": "b"}, folders) == {"A": "b", "LD_LIBRARY_PATH": joined}
    assert with_libraries({"LD_LIBRARY_PATH": "/own"}, folders)["LD_LIBRARY_PATH"] == f"/own:{joined}"
    assert with_libraries({"A": "b"}, []) == {"A": "b"}
