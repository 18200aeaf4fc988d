"""Names of more than 255 bytes, which no folder can hold: one line, whichever option has it."""

import pytest

LONG = "x" * 300
COMMANDS = [
    ("tdnet-run", "--engine", LONG, "--input", "here"),
    ("tdnet-run", "--engine", "a.plan", "--input", LONG),
    ("tdnet-run", "--engine", "a.plan", "--input", "here", "--json", f"{LONG}.json"),
    ("tdnet-inspect", LONG),
    ("tdnet-export", "--ckpt", LONG),
    ("tdnet-export", "--ckpt", "a.pth", "--out", f"{LONG}.plan"),
    ("tdnet-export", "--ckpt", "a.pth", "--out", f"{LONG}/o.plan"),
    ("tdnet-export", "--ckpt", "a.pth", "--names", LONG),
    ("tdnet-bench", "--engine", LONG),
    ("tdnet-bench", "--engine", "a.plan", "--input", LONG),
    ("tdnet-bench", "--engine", "a.plan", "--json", f"{LONG}.json"),
    ("tdnet-eval", "--engine", LONG, "--data", "folder:here"),
    ("tdnet-eval", "--engine", "a.plan", "--data", LONG),
    ("tdnet-eval", "--engine", "a.plan", "--data", f"{LONG}.toml"),
    ("tdnet-eval", "--engine", "a.plan", "--data", f"folder:{LONG}"),
    ("tdnet-eval", "--engine", "a.plan", "--data", "folder:here", "--json", f"{LONG}.json"),
    ("tdnet-train", "--config", LONG),
    ("tdnet-train", "--config", f"{LONG}.yml"),
    ("tdnet-train", "--resume", LONG),
    ("tdnet-train", "--config", "street.toml", "--out", LONG),
    ("tdnet-train", "--config", "street.toml", "--set", f"data.root={LONG}"),
    ("tdnet-train", "--compare", LONG),
]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words).replace(LONG, "LONG"))
def test_a_long_name_is_one_line(words, command, tmp_path):
    pytest.importorskip("torch")
    if words[0] == "tdnet-train":
        pytest.importorskip("kornia", reason="the extra `train` is not installed")
    (tmp_path / "here").mkdir()
    for name in ("a.plan", "a.pth"):
        (tmp_path / name).write_bytes(b"")
    stage = '[[stages]]\nsteps = 1\n[network]\nname = "td2-fa18"\nsize = [48, 64]\n[data]\nroot = "here"\n'
    (tmp_path / "street.toml").write_text(stage)
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{words[0]}: error: ")
    assert done.stderr.count("\n") == 1
