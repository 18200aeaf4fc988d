from __future__ import annotations

import os
from pathlib import Path

import pytest

from tdnet_bench.options import BenchOptions
from tdnet_runtime.errors import OptionError


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "x.plan"
    path.touch()
    return path


def test_defaults(plan: Path) -> None:
    options = BenchOptions(engine=plan, threads=2)
    assert (options.frames, options.backend, options.ckpt, options.json) == (60, "auto", None, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": 0}, "--frames is 0, expected at least 1"),
        ({"threads": 0}, "--threads is 0, expected at least 1"),
        ({"engine": Path("absent.plan")}, "--engine needs a file, but there is nothing at 'absent.plan'"),
        ({"engine": Path()}, "--engine needs a file, but there is a folder at"),
        ({"ckpt": Path("absent.pth")}, "--ckpt needs a file, but there is nothing at 'absent.pth'"),
        ({"input": Path("absent.mp4")}, "--input needs a video or a folder, but there is nothing at"),
        ({"json": Path("absent/run.json")}, "--json cannot write there: no folder 'absent'"),
        ({"json": Path()}, "--json needs a file name, but '.' is a folder"),
    ],
)
def test_what_cannot_be_meant_is_refused(plan: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        BenchOptions(**({"engine": plan, "threads": 2} | change))  # type: ignore[arg-type]


def test_a_folder_that_cannot_be_written_is_refused(
    plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(OptionError, match="the folder is not writable"):
        BenchOptions(engine=plan, threads=2, json=tmp_path / "run.json")
