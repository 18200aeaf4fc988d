from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from tdnet_bench.sides.pytorch_side import PyTorchSide
from tdnet_bench.sides.requests import parse_request
from tdnet_eval.networks import network_for
from tdnet_export.options import ExportOptions
from tdnet_export.pipeline import bundle_from_checkpoint
from tdnet_models import ReferenceStream
from tdnet_models.preprocessing import Preprocessing
from tdnet_runtime.errors import BackendError
from tdnet_runtime.manifest import Manifest

LEAST = {"pytorch:cpu:bf16": 0.9, "pytorch:cpu:fp16": 0.98}  # made-up weights: classes are nearly tied
FRAMES = np.random.default_rng(0).integers(0, 256, (4, 48, 48, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def _side(manifest: Manifest, name: str) -> PyTorchSide:
    network = network_for(manifest, None)
    request = parse_request(name, flag="--peer")
    return PyTorchSide(request, network, manifest=manifest, threads=1, weights="synthetic")


@pytest.mark.parametrize("name", ["pytorch", "pytorch-channels-last", "pytorch:cpu:bf16", "pytorch:cpu:fp16"])
def test_eager_sides_give_the_argmax_of_the_stream(manifest: Manifest, name: str) -> None:
    side = _side(manifest, name)
    assert torch.get_num_threads() == 1
    stream = ReferenceStream(network_for(manifest, None), memory_stride=3)
    with side.stream() as push:
        for frame in FRAMES:
            labels = push(frame).labels
            assert labels.dtype == np.uint8
            agreement = (labels == stream.push(frame).argmax(0).numpy()).mean()
            assert agreement == 1.0 if name == "pytorch" else agreement > LEAST.get(name, 0.999)


def test_the_manifest_says_what_the_network_sees_and_how_it_labels(manifest: Manifest) -> None:
    """Another preprocessing, and a sigmoid head: as of the bundle, whatever the default is."""
    bgr = msgspec.structs.replace(
        manifest.input, color_order="BGR", mean=(90.0, 110.0, 130.0), std=(40.0, 60.0, 80.0), scale=1.0
    )
    two = manifest.classes[:2]
    manifest = msgspec.structs.replace(manifest, input=bgr, classes=two, threshold=0.3)
    network = network_for(manifest, None)
    assert network.spec.classes == 1
    preprocessing = Preprocessing(mean=bgr.mean, std=bgr.std, scale=1.0, color_order="BGR")
    stream = ReferenceStream(network_for(manifest, None), memory_stride=3, preprocessing=preprocessing)
    with _side(manifest, "pytorch").stream() as push:
        for frame in FRAMES:
            labels, expected = push(frame).labels, torch.sigmoid(stream.push(frame)[0]) > 0.3
            assert np.array_equal(labels, expected.numpy())


@pytest.mark.parametrize("name", ["pytorch-channels-last", "pytorch:cpu:fp16"])
def test_channels_last_is_another_layout(manifest: Manifest, name: str) -> None:
    network = network_for(manifest, None)
    request = parse_request(name, flag="--peer")
    PyTorchSide(request, network, manifest=manifest, threads=1, weights="synthetic")
    weight = next(p for p in network.parameters() if p.ndim == 4 and p.shape[1] > 1 and p.shape[2] > 1)
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()


def test_a_side_says_what_it_is(manifest: Manifest) -> None:
    spec = _side(manifest, "pytorch").spec(camera=True)
    assert (spec.name, spec.kind, spec.precision, spec.weights) == ("pytorch", "pytorch", "fp32", "synthetic")
    assert "CPU, 1 thread(s), eager, contiguous (NCHW) weights" in spec.description
    assert spec.clocks.keys() == {"host call"}
    half = _side(manifest, "pytorch:cpu:bf16").spec(camera=True)
    assert (half.name, half.precision) == ("pytorch:cpu:bf16", "bf16")
    assert half.description.endswith("CPU, 1 thread(s), eager, channels_last weights, bf16")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("default")
def test_the_compiled_network_gives_the_same_labels(
    tiny_checkpoint: Callable[[str], Path], tiny_bundle: Callable[[str], Path]
) -> None:
    """Both paths, cold and warm: compiling takes minutes on two cores."""
    from tdnet_runtime import Bundle

    name = "td2-fa18"
    with Bundle.open(tiny_bundle(name)) as bundle:
        manifest = bundle.manifest
    frame = np.random.default_rng(1).integers(
        0, 256, (manifest.input.height, manifest.input.width, 3), dtype=np.uint8
    )
    labels = []
    for kind in ("pytorch", "torch-compile"):
        network = network_for(manifest, tiny_checkpoint(name))
        side = PyTorchSide(
            parse_request(kind, flag="--peer"),
            network,
            manifest=manifest,
            threads=2,
            weights="checkpoint",
        )
        with side.stream() as push:
            labels.append([push(frame).labels for _ in range(3)])
    assert np.mean(np.asarray(labels[0]) == np.asarray(labels[1])) > 0.999


def test_what_torch_compile_cannot_do_is_a_reason_and_no_traceback(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(part: object) -> Callable[..., object]:
        def call(*arguments: object) -> object:
            raise RuntimeError("no working\nC++ compiler")

        return call

    monkeypatch.setattr(torch, "compile", fails)
    side = _side(manifest, "torch-compile")
    with (
        side.stream() as push,
        pytest.raises(BackendError, match=r"torch-compile: PyTorch failed: no working C\+\+"),
    ):
        push(FRAMES[0])


def test_the_reference_has_the_bundles_shapes(manifest: Manifest) -> None:
    spec = network_for(manifest, None).spec
    assert (spec.name, spec.classes, spec.input_size) == ("td2-fa18", 5, (48, 48))
    assert spec.widths == manifest.widths


def test_the_reference_has_the_bundles_size_whatever_it_is(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    """The features' size leaves eight heights and eight widths open."""
    checkpoint = tiny_checkpoint("td2-fa18")
    options = ExportOptions(checkpoint=checkpoint, out=tmp_path / "a.plan", size_hw=(61, 90))
    manifest = bundle_from_checkpoint(options).manifest
    for ckpt in (checkpoint, None):
        network = network_for(manifest, ckpt)
        assert network.spec.input_size == (61, 90)
        assert not network.resampled
