from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tdnet_eval.data_option import settings_from_option
from tdnet_eval.options import EvalOptions, parse_gaps
from tdnet_runtime.errors import MediaError, OptionError


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "a.plan"
    path.write_bytes(b"")
    return path


def _options(plan: Path, **given: Any) -> EvalOptions:
    return EvalOptions(**{"data": "d", "engines": (plan,), **given})


def test_lists_of_gaps() -> None:
    assert parse_gaps("1,2,4,8") == (1, 2, 4, 8)
    assert parse_gaps(" 8, 2,2 ") == (2, 8)


@pytest.mark.parametrize("text", ["", "0", "1,,2", "-1", "1.5", "a", "1;2", "1001", "99999999"])
def test_what_is_no_list_of_gaps(text: str) -> None:
    with pytest.raises(
        OptionError, match=r"--gap is .*; expected numbers of lost frames with commas between"
    ):
        parse_gaps(text)


def test_good_options(plan: Path, tmp_path: Path) -> None:
    assert (
        _options(plan, json=tmp_path / "a.json", markdown=tmp_path / "a.md", pictures=tmp_path / "new").split
        == "val"
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"engines": ()}, "nothing was named to evaluate; give --engine X.plan, --ckpt best.pth, or both"),
        ({"engines": (Path("absent.plan"),)}, "--engine needs a file, but there is nothing at 'absent.plan'"),
        ({"engines": (Path("x" * 300),)}, "--engine needs a file: File name too long: 'xxx"),
        ({"json": Path("x" * 300)}, "--json cannot write there: File name too long"),
        ({"ckpt": Path("/")}, "--ckpt needs a file, but there is a folder at '/'"),
        ({"backends": ("tensort",)}, "--backend is 'tensort'; expected auto, tensorrt, "),
        ({"precisions": ("fp8",)}, "--precision is 'fp8'; expected fp32, "),
        ({"device": "gpu"}, "--device is 'gpu'; expected cpu, cuda"),
        ({"threads": 0}, "--threads is 0; expected 1 or more"),
        ({"worst": 0}, "--worst is 0; expected 1 or more"),
        ({"size_hw": (8, 8)}, "--size goes with --ckpt; a bundle's manifest says it"),
        ({"preprocessing": "imagenet", "weights": "ema"}, "--preprocessing, --weights goes with --ckpt"),
        ({"json": Path("absent/a.json")}, "--json cannot write there: no folder 'absent'; make it first"),
        ({"markdown": Path("a.txt")}, "--markdown writes Markdown; end its name in .md: 'a.txt'"),
        ({"overwrite": True}, "--overwrite goes with --pictures"),
    ],
)
def test_options_that_cannot_be_meant(plan: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        _options(plan, **given)
    assert message in str(caught.value)


def test_options_of_the_checkpoint(plan: Path) -> None:
    with pytest.raises(OptionError, match="--threshold is 1; expected a probability between 0 and 1"):
        EvalOptions(data="d", ckpt=plan, threshold=1.0)
    with pytest.raises(
        OptionError, match="--preprocessing is 'imagnet'; expected imagenet, unit, none, ptsemseg"
    ):
        EvalOptions(data="d", ckpt=plan, preprocessing="imagnet")
    with pytest.raises(
        OptionError, match="--precision, --backend goes with --engine; PyTorch computes in FP32"
    ):
        EvalOptions(data="d", ckpt=plan, precisions=("fp32",), backends=("openvino",))


def test_foreign_files_are_not_replaced(plan: Path, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(OptionError, match="--json would replace a file that is no document of tdnet-eval"):
        _options(plan, json=tmp_path / "a.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(MediaError, match=r"writing pictures to .*: not a folder"):
        _options(plan, pictures=tmp_path / "file")
    with pytest.raises(OptionError, match="--json and --markdown are the same file"):
        _options(plan, json=tmp_path / "b.md", markdown=tmp_path / "b.md")


def test_the_command_can_be_given_again_without_telling_folders(plan: Path) -> None:
    options = _options(
        plan,
        data=f"camvid:{plan.parent}/camvid",
        ckpt=plan,
        precisions=("fp32", "int8"),
        size_hw=(360, 480),
        threshold=0.25,
        every_path=True,
        gaps=(1, 8),
        cut="test",
    )
    assert options.command == (
        "tdnet-eval --engine a.plan --ckpt a.plan --precision fp32 --precision int8 --size 360x480 --threshold 0.25 "
        "--data camvid:camvid --split val --every-path --gap 1,8 --cut test"
    )
    assert (
        _options(plan, data="/of/mine/data").command == "tdnet-eval --engine a.plan --data data --split val"
    )


# --data


def test_folders_and_kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("camvid").mkdir()
    assert settings_from_option("camvid").kind == "folder"
    assert settings_from_option("camvid").root == "camvid"
    named = settings_from_option("camvid:camvid")
    assert (named.kind, named.root) == ("camvid", "camvid")
    assert settings_from_option(f"nyudv2:{tmp_path}").root == str(tmp_path)
    Path("odd:name").mkdir()
    assert settings_from_option("odd:name").root == "odd:name"


@pytest.mark.parametrize("before", ["", "[network]\nname = 'td2-fa18'\n[data]\n"], ids=["plain", "training"])
def test_settings_in_a_file(before: str, tmp_path: Path) -> None:
    pytest.importorskip("tomli")
    (tmp_path / "d.toml").write_text(f"{before}root = 'frames'\nname = 'mine'\nmap = {{'3' = 'road'}}\n")
    settings = settings_from_option(str(tmp_path / "d.toml"))
    assert (settings.root, settings.name, settings.map) == ("frames", "mine", {"3": "road"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("absent", "--data needs a folder or a .toml file, but there is nothing: 'absent'"),
        (
            "kitti:here",
            "--data knows no kind of data set 'kitti'; known are folder, camvid, cityscapes, nyudv2",
        ),
        ("camvid:", "--data needs a folder or a .toml file, but there is no name after the colon: 'camvid:'"),
        ("~nobody-of-that-name/x", "there is nothing: '~nobody-of-that-name/x'"),
        ("x" * 300, "--data: File name too long: 'xxx"),
        ("camvid:" + "x" * 300, "--data: File name too long: 'xxx"),
        ("camvid:absent", "there is nothing: 'camvid:absent'"),
        ("file", "there is a file: 'file'"),
        ("absent.toml", "--data cannot be read: No such file or directory: 'absent.toml'"),
    ],
)
def test_data_that_is_not_there(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    with pytest.raises(OptionError) as caught:
        settings_from_option(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        "root = 3",
        "rot = 'a'",
        "[data]\nrot = 'a'",
        "data = 3",
        "= no TOML",
        "root = 'a'\nkind = 'kitti'",
        "\xff",
    ],
)
def test_files_that_are_no_settings(content: str, tmp_path: Path) -> None:
    pytest.importorskip("tomli")
    (tmp_path / "d.toml").write_bytes(content.encode("latin-1"))
    with pytest.raises(OptionError, match="--data is no settings of a data set"):
        settings_from_option(str(tmp_path / "d.toml"))


@pytest.mark.parametrize(
    ("output", "option"), [("json", "engine"), ("markdown", "engine"), ("markdown", "ckpt")]
)
def test_what_is_read_is_not_replaced(plan: Path, tmp_path: Path, output: str, option: str) -> None:
    read = tmp_path / "read.md"
    read.touch()
    (tmp_path / "link.md").symlink_to(read)
    given = {"engines": (read,)} if option == "engine" else {"ckpt": read}
    for path in (read, tmp_path / "link.md", tmp_path / ".." / tmp_path.name / "read.md"):
        with pytest.raises(OptionError, match=f"--{output} and --{option} are the same file"):
            _options(plan, **{**given, output: path})
