from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MAIN = "import tdnet_bench; tdnet_bench.main()"
NO_TORCH = "import sys\nsys.modules['torch'] = None\n"


def _run(*arguments: str | Path, code: str = MAIN) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "80", "NO_COLOR": "1"},
    )


def _error(done: subprocess.CompletedProcess[str]) -> str:
    """The one line on stderr of a user's error."""
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("tdnet-bench: error: ")
    return line.removeprefix("tdnet-bench: error: ")


def test_help_shows_examples() -> None:
    done = _run("--help")
    assert done.returncode == 0
    assert "tdnet-bench --engine tdnet50.plan --ckpt best.pth" in done.stdout
    for option in ("--engine", "--ckpt", "--frames", "--input", "--json", "--threads", "--backend"):
        assert option in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--engine"),
        (["--engine", "x.plan", "--frames", "0"], "--frames"),
        (["--engine", "x.plan", "--threads", "-1"], "--threads"),
        (["--engine", "x.plan", "--fast"], "--fast"),
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str], message: str) -> None:
    done = _run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_user_errors_are_one_line(engine: Path, tmp_path: Path) -> None:
    ckpt = tmp_path / "other.pth"
    ckpt.write_bytes(b"something else")
    fake = ("--engine", engine, "--backend", "fake")
    assert "--engine needs a file" in _error(_run("--engine", tmp_path / "absent.plan"))
    assert "--ckpt needs a file" in _error(_run(*fake, "--ckpt", tmp_path / "absent.pth"))
    assert "no folder" in _error(_run(*fake, "--json", tmp_path / "absent" / "run.json"))
    assert "there is nothing at" in _error(_run(*fake, "--input", tmp_path / "absent.mp4"))
    assert "its SHA-256 is" in _error(_run(*fake, "--ckpt", ckpt))
    assert "no backend 'warp'" in _error(_run("--engine", engine, "--backend", "warp"))
    assert "bundle" in _error(_run("--engine", ckpt))


def test_a_run_prints_its_tables_and_writes_its_document(engine: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    arguments = ("--engine", engine, "--backend", "fake", "--frames", "2", "--json", path, "--threads", "1")
    done = _run(*arguments, code=NO_TORCH + MAIN)
    assert done.returncode == 0, done.stderr
    content = json.loads(path.read_text())
    assert content["config"]["reference"] == "absent"
    assert content["config"]["threads"] == 1
    assert len(content["records"]) == 3
    assert "Warm frames, ms per frame" in done.stdout
    assert "PyTorch is not installed" in " ".join(done.stdout.split())
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "Traceback" not in done.stderr
    assert [entry.name for entry in tmp_path.iterdir() if entry.suffix == ".partial"] == []


def test_the_package_imports_without_its_extras() -> None:
    blocked = ("typer", "rich", "psutil", "torch", "cv2", "av", "onnxruntime")
    done = _run(code=f"import sys\nsys.modules.update(dict.fromkeys({blocked}))\nimport tdnet_bench")
    assert done.returncode == 0, done.stderr


def test_a_missing_extra_is_one_line_that_installs_it() -> None:
    done = _run(code="import sys\nsys.modules['psutil'] = None\n" + MAIN)
    assert "pip install 'tdnet-deploy[bench]'" in _error(done)
