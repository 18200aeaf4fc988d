"""Paths in a folder that may not be looked into: one line for whoever is not root, who may look everywhere."""

import os

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() == 0, reason="root may look into every folder")

COMMANDS = [
    ("tdnet-run", "--engine", "a.plan", "--input", "here", "--overlay", "closed/x/o.mp4"),
    ("tdnet-run", "--engine", "a.plan", "--input", "here", "--json", "closed/x/o.json"),
    ("tdnet-inspect", "closed/x/a.plan"),
    ("tdnet-export", "--ckpt", "a.pth", "--out", "closed/x/o.plan"),
    ("tdnet-bench", "--engine", "closed/x/a.plan"),
    ("tdnet-bench", "--engine", "a.plan", "--input", "closed/x/y"),
    ("tdnet-bench", "--engine", "a.plan", "--json", "closed/x/o.json"),
    ("tdnet-eval", "--engine", "a.plan", "--data", "folder:closed/x"),
    ("tdnet-eval", "--engine", "a.plan", "--data", "folder:here", "--json", "closed/x/o.json"),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_closed_folder_is_one_line(words, command, tmp_path):
    pytest.importorskip("torch")
    for name in ("closed/x", "here"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("a.plan", "a.pth"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "closed").chmod(0)
    try:
        done = command(*words, cwd=tmp_path)
    finally:
        (tmp_path / "closed").chmod(0o700)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{words[0]}: error: ")
    assert done.stderr.count("\n") == 1
    assert "closed" in done.stderr
