"""Sizes, read in one way by all commands that take one."""

import pytest

from tdnet_runtime.cli.size_option import parse_size
from tdnet_runtime.errors import OptionError


@pytest.mark.parametrize(
    ("text", "size"),
    [("769x1537", (769, 1537)), (" 48x96 ", (48, 96)), ("768×1536", (768, 1536)), ("0x0", (0, 0))],
)
def test_sizes(text, size):
    assert parse_size(text) == size


BAD = [
    "", "big", "769", "769x", "x769", "769,1537", "769*1537", "769x1537x3", "769 x 1537", "-8x8", "+8x8", "8.5x8",
    "1e3x8", "769X1537", "999999x8", "٤٨x٩٦", "４８x９６", "4²x96", "1_0x10", "0x10x8", "48x96\n48x96",
]  # fmt: skip


@pytest.mark.parametrize("text", BAD)
def test_other_sizes_are_refused(text):
    with pytest.raises(OptionError, match=r"--here is .*; expected HEIGHTxWIDTH, for instance 8x9$"):
        parse_size(text, option="--here", example="8x9")


COMMANDS = {
    "tdnet-export": ("--size", "769x1537", ("--ckpt", "a.pth", "--out", "new.plan")),
    "tdnet-eval": ("--size", "769x1537", ("--ckpt", "a.pth", "--data", "folder:here")),
    "tdnet-run": ("--camera-size", "720x1280", ("--engine", "a.plan", "--input", "0")),
}


@pytest.mark.parametrize("text", ["640", "0640x", "axb", "640*480", "-1x5", "٤٨x٩٦"])
@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_refuses_them_in_one_line(name, text, command, tmp_path, monkeypatch):
    option, example, others = COMMANDS[name]
    if name != "tdnet-run":
        pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    for file in ("a.pth", "a.plan"):
        (tmp_path / file).write_bytes(b"")
    done = command(name, *others, f"{option}={text}")
    line = f"{name}: error: {option} is {text!r}; expected HEIGHTxWIDTH, for instance {example}\n"
    assert (done.returncode, done.stderr) == (1, line)
    assert {path.name for path in tmp_path.iterdir()} == {"a.pth", "a.plan"}
