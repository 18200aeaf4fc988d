"""The command line: one line and an exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tdnet_bench.gpu_check", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "200"},
    )


def test_a_machine_without_a_gpu(engine: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    done = command("--plan", engine, "--out", tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("gpu-check: error: no GPU can be used here, and nothing was measured: ")
    assert done.stdout == ""
    assert list(tmp_path.glob("*.json")) == []


def test_wrong_usage(tmp_path: Path) -> None:
    assert command("--out", tmp_path).returncode == 2
    done = command("--plan", tmp_path / "x.plan", "--out", tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"gpu-check: error: --plan is no file: {str(tmp_path / 'x.plan')!r}\n"


def test_help() -> None:
    done = command("--help")
    assert done.returncode == 0
    assert "Usage: python -m tdnet_bench.gpu_check [OPTIONS]" in done.stdout
    assert "Exit codes: 0 every question was answered" in " ".join(done.stdout.split())
