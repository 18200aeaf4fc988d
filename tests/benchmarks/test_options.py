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
    assert (options.frames, options.backends, options.peers) == (60, ("auto",), ())
    assert (options.ckpt, options.json, options.labels, options.fps) == (None, None, None, ())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": 0}, "--frames is 0, expected at least 1"),
        ({"threads": 0}, "--threads is 0, expected at least 1"),
        ({"fps": (10.0, 0.0)}, "--fps is 0, expected more than 0 and at most 1000"),
        ({"fps": (float("nan"),)}, "--fps is nan"),
        ({"fps": (1e9,)}, "--fps is 1e.09"),
        ({"engine": Path("absent.plan")}, "--engine needs a file, but there is nothing at 'absent.plan'"),
        ({"engine": Path()}, "--engine needs a file, but there is a folder at"),
        ({"ckpt": Path("absent.pth")}, "--ckpt needs a file, but there is nothing at 'absent.pth'"),
        ({"engine": Path("x" * 300)}, "--engine needs a file: File name too long: 'xxx"),
        ({"input": Path("x" * 300)}, "looking for the files that options name: File name too long: 'xxx"),
        ({"input": Path("absent.mp4")}, "--input needs a video or a folder, but there is nothing at"),
        ({"labels": Path()}, "--labels needs --input"),
        (
            {"input": Path(), "labels": Path("absent")},
            "--labels needs a folder, but there is none at 'absent'",
        ),
        ({"json": Path("absent/run.json")}, "--json cannot write there: no folder 'absent'"),
        ({"json": Path("x.records.jsonl")}, "--json may not end in .records.jsonl"),
        ({"json": Path()}, "--json needs a file name, but '.' is a folder"),
        ({"html": Path("absent/run.html")}, "--html cannot write there: no folder 'absent'"),
        ({"html": Path()}, "--html needs a file name, but '.' is a folder"),
        ({"html": Path("x"), "json": Path("x")}, "--html and --json are the same file"),
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


@pytest.mark.parametrize("output", ["json", "html"])
@pytest.mark.parametrize("option", ["engine", "ckpt", "input"])
@pytest.mark.parametrize("name", ["read.plan", "link", "sub/../read.plan"])
def test_what_is_read_is_not_replaced(
    plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, option: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("read.plan").touch()
    Path("sub").mkdir()
    Path("link").symlink_to("read.plan")
    with pytest.raises(OptionError, match=f"--{output} and --{option} are the same file; name two: '{name}'"):
        BenchOptions(**{"engine": plan, "threads": 2, option: Path("read.plan"), output: Path(name)})  # type: ignore[arg-type]


def test_two_names_of_one_result_are_refused(plan: Path, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    page = tmp_path / "sub" / ".." / "r.json"
    with pytest.raises(OptionError, match="--html and --json are the same file"):
        BenchOptions(engine=plan, threads=2, html=page, json=tmp_path / "r.json")
