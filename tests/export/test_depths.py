"""Networks of other depths become bundles like the published ones, and the chosen weights are the bundle's."""

import io
import warnings

import numpy as np
import pytest
import torch
from rich.console import Console
from tests.test_bad_input import process

from tdnet_export.options import ExportOptions
from tdnet_export.pipeline import bundle_from_checkpoint
from tdnet_export.view import show_summary
from tdnet_models import ReferenceStream, load_checkpoint
from tdnet_runtime import Segmenter
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.errors import CheckpointError, OptionError
from tdnet_runtime.media.scene import render

DEPTHS = {"td2-psp34": 2, "td4-psp50": 4, "psp50": 1, "td2-fa34": 2, "td2-fa50": 2}


@pytest.mark.parametrize("name", DEPTHS)
def test_other_depths_are_proven_and_run(name, tiny_bundle, tiny_checkpoint):
    with Segmenter.open(tiny_bundle(name), backend="onnxruntime") as segmenter, segmenter.stream() as stream:
        manifest = segmenter.manifest
        assert (manifest.network, len(manifest.paths)) == (name, DEPTHS[name])
        assert manifest.parity["fp32"].label_agreement >= 0.999
        size = manifest.input.height, manifest.input.width
        oracle = ReferenceStream(load_checkpoint(tiny_checkpoint(name), size=size))
        equal = []
        for index in range(5):
            frame = render(index, height=size[0], width=size[1])
            equal.append(stream.push(frame).labels == oracle.push(frame).argmax(0).numpy())
    assert np.mean(equal) >= 0.999


def test_half_precision_of_another_depth(tiny_checkpoint, tmp_path):
    options = ExportOptions(
        checkpoint=tiny_checkpoint("td4-psp50"), out=tmp_path / "a.plan", precisions=("fp32", "fp16")
    )
    assert bundle_from_checkpoint(options).manifest.precisions == ("fp32", "fp16")


@pytest.mark.parametrize("name", ["td4-psp50", "psp50"])
def test_the_benchmark_makes_a_network_of_the_same_shapes(name, tiny_bundle):
    pytest.importorskip("scipy")  # of the benchmark
    from tdnet_eval.networks import network_for

    with Bundle.open(tiny_bundle(name)) as bundle:
        network = network_for(bundle.manifest, None)
    assert (network.spec.name, network.spec.widths) == (name, bundle.manifest.widths)


@pytest.fixture
def two(tiny_checkpoint, tmp_path):
    """A checkpoint with raw weights, and an average that differs in the head's bias."""
    state = torch.load(tiny_checkpoint("psp101"), weights_only=True)
    average = state | {"head.conv5.5.bias": state["head.conv5.5.bias"] + 1}
    path = tmp_path / "two.pth"
    torch.save({"epoch": 3, "model": state, "ema": {f"module.{k}": v for k, v in average.items()}}, path)
    return path


def test_the_choice_is_the_bundles(two, tmp_path):
    """Graphs, summary and manifest; the benchmark's PyTorch takes the same ones."""
    options = ExportOptions(checkpoint=two, out=tmp_path / "a.plan", size_hw=(49, 65), weights="ema")
    summary = bundle_from_checkpoint(options)
    console = Console(file=io.StringIO(), width=200)
    show_summary(summary, console)
    tensors = len(torch.load(two, weights_only=True)["ema"])
    line = f"weights              {tensors} tensors of 'ema', prefix 'module.' taken off; left: epoch, model"
    assert line in console.file.getvalue()
    assert summary.manifest.weights == "ema"

    pytest.importorskip("scipy")  # of the benchmark
    from tdnet_eval.networks import network_for

    bias = torch.load(two, weights_only=True)["ema"]["module.head.conv5.5.bias"]
    assert torch.equal(network_for(summary.manifest, two).state_dict()["head.conv5.5.bias"], bias)


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        (
            None,
            CheckpointError,
            r"holds 2 networks with different weights: 'model' .*, 'ema' .*--weights ema",
        ),
        ("emma", OptionError, r"--weights is 'emma'; the networks .* are: 'model', 'ema'"),
    ],
)
def test_no_choice_and_a_wrong_one_write_nothing(weights, error, message, two, tmp_path):
    options = ExportOptions(checkpoint=two, out=tmp_path / "a.plan", size_hw=(49, 65), weights=weights)
    with pytest.raises(error, match=message):
        bundle_from_checkpoint(options)
    assert [path.name for path in tmp_path.iterdir()] == ["two.pth"]


def test_the_command_line(two, tmp_path, command):
    """TorchScript, in a process of its own, makes PyTorch warn on stderr: nothing but our line is there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer PyTorch deprecates it
        torch.jit.script(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1))).save(str(tmp_path / "script.pt"))
    for run, arguments, message in (
        (command, ["--ckpt", "two.pth"], "say which one with --weights KEY"),
        (process, ["--ckpt", "script.pt"], "it is a TorchScript archive"),
    ):
        done = run("tdnet-export", *arguments, "--size", "49x65", cwd=tmp_path)
        assert done.returncode == 1
        assert message in done.stderr.splitlines()[-1]
        assert [line for line in done.stderr.splitlines() if not line.startswith("tdnet-export: error")] == []
    done = command("tdnet-export", "--ckpt", "two.pth", "--weights", "model", "--size", "49x65", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "tensors of 'model'; left: epoch, ema" in " ".join(done.stdout.split())
    shown = command("tdnet-inspect", "psp101.plan", cwd=tmp_path)
    assert "weights 'model'" in " ".join(shown.stdout.split())
