from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tdnet_eval.options import EvalOptions
from tdnet_eval.sides import Opened, open_sides
from tdnet_runtime.errors import BackendError, BundleDigestError, BundleError, CheckpointError, OptionError


def _open(stack: ExitStack, **given: Any) -> Opened:
    return open_sides(
        EvalOptions(**{"data": "d", "backends": ("onnxruntime",), "threads": 1, **given}), stack
    )


def test_bundles_and_precisions_are_sides_and_the_first_fp32_the_reference(
    named_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    twin = Path(shutil.copy(named_bundle, tmp_path / "other" / "named.plan"))
    with ExitStack() as stack:
        opened = _open(stack, engines=(named_bundle, twin), precisions=("fp16", "fp32"))
        folder = named_bundle.parent.name
        assert [side.name for side in opened.sides] == [
            f"{folder}/named onnxruntime:fp16",
            f"{folder}/named onnxruntime:fp32",
            "other/named onnxruntime:fp16",
            "other/named onnxruntime:fp32",
        ]
        assert opened.reference == f"{folder}/named onnxruntime:fp32"
        assert opened.left_out == ()
        assert opened.sides[0].info.size_is == "assumed"
        assert str(tmp_path) not in repr(opened.sides[2].info)


def test_what_a_bundle_does_not_have_is_left_out_and_an_error_where_nothing_is_left(
    named_bundle: Path,
) -> None:
    with ExitStack() as stack:
        opened = _open(stack, engines=(named_bundle,), precisions=("fp32", "int8"))
        assert [side.name for side in opened.sides] == ["named onnxruntime:fp32"]
        assert opened.reference is None
        (left,) = opened.left_out
        assert left.what == "named.plan on onnxruntime:int8"
        assert "int8" in left.reason
        with pytest.raises(BackendError, match="int8"):
            _open(stack, engines=(named_bundle,), precisions=("int8",))


def test_one_side_by_two_names_is_judged_once(named_bundle: Path) -> None:
    with ExitStack() as stack:
        opened = _open(stack, engines=(named_bundle,), backends=("onnxruntime", "auto"))
        assert len(opened.sides) == 1
        assert "named onnxruntime:fp32 was asked for more than once and judged once" in opened.notes


def test_a_file_that_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "a.plan").write_bytes(b"no bundle")
    with ExitStack() as stack, pytest.raises(BundleError):
        _open(stack, engines=(tmp_path / "a.plan",))


def test_the_checkpoint_is_run_as_the_bundle_from_it(
    named_bundle: Path, tiny_checkpoint: Callable[[str], Path], tiny_bundle: Callable[[str], Path]
) -> None:
    ckpt = tiny_checkpoint("td2-fa18")
    with ExitStack() as stack:
        opened = _open(stack, engines=(named_bundle,), ckpt=ckpt)
        assert opened.reference == "pytorch"
        assert not any("assumed" in note for note in opened.notes)
        bundle, network = opened.sides
        assert network.names == bundle.names
        assert network.info.size_hw == bundle.info.size_hw
        assert network.info.memory_stride == bundle.info.memory_stride
    with ExitStack() as stack:
        opened = _open(stack, engines=(tiny_bundle("td4-psp18"),), ckpt=ckpt)  # which knows nothing of it
        assert any(
            "assumed" in note and "--size" in note and "--preprocessing" in note for note in opened.notes
        )
        opened = _open(
            stack, backends=("auto",), ckpt=ckpt, size_hw=(61, 95), memory_stride=2, preprocessing="unit"
        )
        (network,) = opened.sides
        assert (network.info.size_hw, network.info.size_is, network.info.memory_stride) == (
            (61, 95),
            "exact",
            2,
        )
        assert (network.names, opened.notes, opened.reference) == ((), (), None)


def test_what_a_checkpoint_cannot_be(tiny_checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    ckpt = tiny_checkpoint("td2-fa18")
    with ExitStack() as stack:
        with pytest.raises(
            OptionError, match="--threshold goes with a network of one class; the checkpoint has 5"
        ):
            _open(stack, backends=("auto",), ckpt=ckpt, threshold=0.3)
        with pytest.raises(BackendError, match=r"--device is cuda, but PyTorch .* finds no GPU"):
            _open(stack, backends=("auto",), ckpt=ckpt, device="cuda")
        (tmp_path / "a.pth").write_bytes(b"no weights")
        with pytest.raises(CheckpointError):
            _open(stack, backends=("auto",), ckpt=tmp_path / "a.pth")


def test_a_resampled_network_is_told(tiny_checkpoint: Callable[[str], Path]) -> None:
    with ExitStack() as stack:
        opened = _open(
            stack,
            backends=("auto",),
            ckpt=tiny_checkpoint("td2-fa18"),
            size_hw=(72, 96),
            preprocessing="unit",
        )
        assert opened.notes == (
            "pytorch is an approximation: its LayerNorm maps were resampled from another size",
        )


def test_a_pinned_bundle_is_the_one_that_is_judged(named_bundle: Path, tmp_path: Path) -> None:
    """One digest for each bundle, in their order."""
    other = tmp_path / "other.plan"
    other.write_bytes(named_bundle.read_bytes() + b"\0")
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (named_bundle, other)]
    with ExitStack() as stack:
        opened = _open(stack, engines=(named_bundle,), sha256s=(digests[0],))
        assert len(opened.sides) == 1
        with pytest.raises(BundleDigestError, match=f"has SHA-256 {digests[1]}, {digests[0]} was asked for"):
            _open(stack, engines=(named_bundle, other), sha256s=(digests[0], digests[0]))
        with pytest.raises(
            OptionError, match="--sha256 is given 1 times and --engine 2 times; give one for each"
        ):
            _open(stack, engines=(named_bundle, other), sha256s=(digests[0],))
