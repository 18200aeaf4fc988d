"""What an export is asked to do is judged before anything slow begins."""

import dataclasses
import os

import pytest

from tdnet_export.options import ExportOptions, RebuildOptions
from tdnet_runtime.errors import OptionError


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "best.pth"
    path.write_bytes(b"weights")
    return path


@pytest.mark.parametrize("stride", [1, 3, 4, 16, None])
def test_memory_strides(stride, checkpoint):
    assert ExportOptions(checkpoint=checkpoint, memory_stride=stride).memory_stride == stride


@pytest.mark.parametrize("stride", [0, -1, 17, 1000])
def test_other_memory_strides_are_refused(stride, checkpoint):
    with pytest.raises(OptionError, match=rf"--memory-stride is {stride}; expected 1 to 16"):
        ExportOptions(checkpoint=checkpoint, memory_stride=stride)


OUT = {
    "suffix": ("net.onnx", r"--out must end in \.plan, came 'net\.onnx'"),
    "no suffix": ("net", r"--out must end in \.plan, came 'net'"),
    "folder": ("taken.plan", r"--out is a folder; name a file in it: .*taken\.plan/tdnet\.plan"),
    "absent folder": (
        "absent/net.plan",
        r"--out lies in a folder that does not exist; make it first: .*absent",
    ),
    "too long": ("x" * 300 + ".plan", r"--out: File name too long: '.*\.plan'"),
    "too long until it is whole": (
        "x" * 250 + ".plan",
        r"--out has too long a name: .* by one of 17 characters more; shorten it: '.*\.plan'",
    ),
    "under a file": ("best.pth/net.plan", r"--out lies in a folder that does not exist"),
    "the checkpoint": ("link.plan", r"--out is the checkpoint itself; name another file"),
}


@pytest.mark.parametrize("case", OUT)
def test_where_no_bundle_can_be_written(case, checkpoint, tmp_path):
    name, message = OUT[case]
    (tmp_path / "taken.plan").mkdir()
    (tmp_path / "link.plan").symlink_to(checkpoint)
    with pytest.raises(OptionError, match=message):
        ExportOptions(checkpoint=checkpoint, out=tmp_path / name)


def test_a_folder_that_may_not_be_written_to(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(OptionError, match=r"--out lies in a folder that may not be written to"):
        ExportOptions(checkpoint=checkpoint, out=tmp_path / "net.plan")


def test_an_existing_bundle_may_be_replaced(checkpoint, tmp_path):
    out = tmp_path / "net.plan"
    out.write_bytes(b"old")
    options = ExportOptions(checkpoint=checkpoint, out=out)
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.out = None


@pytest.mark.parametrize(
    ("precisions", "backends", "graphs", "engines"),
    [
        ((), (), ("fp32",), ()),
        (("fp16",), (), ("fp16",), ()),
        (("fp16", "fp32", "fp16"), (), ("fp32", "fp16"), ()),
        ((), ("tensorrt-rtx",), ("fp32", "fp16"), (("tensorrt-rtx", "fp16"),)),
        (("fp32",), ("tensorrt-rtx",), ("fp32",), (("tensorrt-rtx", "fp32"),)),
        (("fp16",), ("tensorrt",) * 2, ("fp16",), (("tensorrt", "fp16"),)),
        (
            ("fp32", "fp16"),
            ("tensorrt-rtx", "tensorrt"),
            ("fp32", "fp16"),
            (("tensorrt-rtx", "fp16"), ("tensorrt", "fp16")),
        ),
        (("int8",), (), ("int8",), ()),
        (("int8_fp16",), (), ("int8_fp16",), ()),
        (("int8",), ("tensorrt",), ("int8", "int8_fp16"), (("tensorrt", "int8_fp16"),)),
        (("int8_fp16",), ("tensorrt",), ("int8_fp16",), (("tensorrt", "int8_fp16"),)),
        (
            ("int8", "fp32", "fp16"),
            ("tensorrt-rtx",),
            ("fp32", "fp16", "int8", "int8_fp16"),
            (("tensorrt-rtx", "fp16"), ("tensorrt-rtx", "int8_fp16")),
        ),
    ],
)
def test_precisions_and_engines(precisions, backends, graphs, engines, checkpoint):
    """FP32 unless something else is asked, what engines prefer with them, engines of the best one, and INT8 if asked."""
    options = ExportOptions(
        checkpoint=checkpoint,
        precisions=precisions,
        backends=backends,
        calibration="clip.mp4" if {"int8", "int8_fp16"} & {*precisions} else None,
    )
    assert (options.wanted_precisions, options.wanted_engines) == (graphs, engines)


@pytest.mark.parametrize("kind", [ExportOptions, RebuildOptions])
@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"precisions": ("int4",)}, "--precision is 'int4'; expected fp32 or fp16 or int8 or int8_fp16"),
        ({"backends": ("cuda",)}, "--backend is 'cuda'; expected tensorrt or tensorrt-rtx"),
    ],
)
def test_unknown_names_are_refused(kind, more, message, checkpoint):
    where = {"checkpoint": checkpoint} if kind is ExportOptions else {"bundle": checkpoint}
    values = where | ({"backends": ("tensorrt",)} if kind is RebuildOptions else {}) | more
    with pytest.raises(OptionError, match=message):
        kind(**values)


def test_a_rebuild_is_of_some_engines(checkpoint):
    with pytest.raises(OptionError, match="--rebuild needs --backend tensorrt or --backend tensorrt-rtx"):
        RebuildOptions(bundle=checkpoint, backends=())


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"precisions": ("int8",)}, "--precision int8 needs --calibration"),
        ({"precisions": ("fp16", "int8_fp16")}, "--precision int8_fp16 needs --calibration"),
        ({"calibration": "clip.mp4"}, "--calibration goes with --precision int8"),
        ({"precisions": ("fp16",), "max_loss": 0.1}, "--max-loss goes with --precision int8"),
        (
            {"precisions": ("int8",), "calibration": "x", "max_loss": 1.5},
            "--max-loss is 1.5; expected the share",
        ),
    ],
)
def test_what_int8_needs_and_what_needs_int8(more, message, checkpoint):
    with pytest.raises(OptionError, match=message):
        ExportOptions(checkpoint=checkpoint, **more)


@pytest.mark.parametrize("option", ["names", "frames"])
def test_what_is_read_is_not_replaced(option, checkpoint, tmp_path):
    (tmp_path / "read.plan").write_text("")
    (tmp_path / "link.plan").symlink_to("read.plan")
    read = tmp_path / "read.plan"
    with pytest.raises(OptionError, match=f"--out and --{option} are the same file"):
        ExportOptions(
            checkpoint=checkpoint,
            out=tmp_path / "link.plan",
            **{option: read if option == "names" else str(read)},
        )
