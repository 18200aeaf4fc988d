"""Steps that hang, crash or end early cost themselves alone."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tdnet_bench.gpu_check.process import (
    DONE,
    Ended,
    how_it_ended,
    library_folders,
    run_limited,
    with_libraries,
)


def run(code: str, *, limit_s: float = 60) -> Ended:
    return run_limited([sys.executable, "-c", code], limit_s)


def test_ends(tmp_path: Path) -> None:
    assert run("print('hello')")[::2] == (DONE, "hello")
    assert run("import sys; sys.stderr.write('no'); sys.exit(3)")[::2] == ("exit code 3", "no")
    assert run("import os; os.kill(os.getpid(), 11)").how == "killed by SIGSEGV"
    assert how_it_ended(None, limit_s=7) == "ended after its limit of 7 s"
    assert len(run("print('x' * 5000)").said) == 1500
    done = run_limited(
        [sys.executable, "-c", "import os; print(os.getcwd(), os.environ)"],
        60,
        environment={"A": "b"},
        cwd=tmp_path,
    )
    assert done.said.startswith(f"{tmp_path} ")
    assert "'A': 'b'" in done.said


def test_a_hanging_step_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    code = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
time.sleep(600)
"""
    started = time.monotonic()
    assert run(code, limit_s=2).how == "ended after its limit of 2 s"
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
