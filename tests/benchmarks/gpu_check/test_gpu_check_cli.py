"""The command line: one line and an exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tdnet_bench.gpu_check.cli import parse_limits
from tdnet_bench.gpu_check.install import InstallError, gpu_name
from tdnet_runtime.errors import OptionError


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tdnet_bench.gpu_check", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "200"},
    )


def test_a_machine_without_a_gpu(engine: Path, tmp_path: Path) -> None:
    with suppress(InstallError):
        pytest.skip(f"there is a {gpu_name()} here")
    done = command("--plan", engine, "--out", tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("gpu-check: error: no GPU can be used here, and nothing was measured: ")
    assert done.stdout == ""
    assert not (tmp_path / "gpu").exists()


def test_wrong_usage(tmp_path: Path) -> None:
    assert command("--out", tmp_path).returncode == 2
    for words in (
        ("--plan", tmp_path / "x.plan", "--out", tmp_path),
        ("--plan", __file__, "--out", tmp_path / "absent"),
        ("--plan", __file__, "--out", __file__),
        ("--plan", __file__, "--out", tmp_path, "--ckpt", tmp_path),
    ):
        done = command(*words)
        assert done.returncode == 2
        assert "Invalid value for" in done.stderr
        assert "Traceback" not in done.stderr
    done = command("--plan", __file__, "--out", tmp_path, "--skip", "warp")
    assert done.returncode == 1
    assert done.stderr.startswith("gpu-check: error: --skip knows no part 'warp'; known are: frames, cuda,")
    done = command("--plan", __file__, "--out", tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)  # no bundle


def test_limits_in_words() -> None:
    assert parse_limits(["cuda=30", "tests=1.5"]) == {"cuda": 30.0, "tests": 1.5}
    for wrong in ("cuda", "cuda=", "cuda=x", "cuda=0", "cuda=-1", "cuda=nan"):
        with pytest.raises(OptionError, match="expected cuda=SECONDS"):
            parse_limits([wrong])
    with pytest.raises(OptionError, match="knows no part 'warp'"):
        parse_limits(["warp=1"])


def test_help() -> None:
    done = command("--help")
    assert done.returncode == 0
    assert "Usage: python -m tdnet_bench.gpu_check [OPTIONS]" in done.stdout
    assert "Exit codes: 0 every question was answered" in " ".join(done.stdout.split())
