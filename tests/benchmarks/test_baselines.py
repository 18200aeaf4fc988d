from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from tdnet_bench import baselines
from tdnet_bench.baselines import BundleSide, ReferenceSide, plan_reference, reference_for
from tdnet_runtime import Segmenter
from tdnet_runtime.errors import CheckpointError, MissingExtraError
from tdnet_runtime.manifest import Manifest


@pytest.fixture
def ckpt(tmp_path: Path) -> Path:
    path = tmp_path / "best.pth"
    path.write_bytes(b"the weights")
    return path


def test_the_bundles_own_checkpoint_is_the_reference(manifest: Manifest, ckpt: Path) -> None:
    plan = plan_reference(manifest, ckpt)
    assert (plan.kind, plan.ckpt, plan.checkpoint_sha256) == ("checkpoint", ckpt, manifest.checkpoint_sha256)


def test_another_checkpoint_is_refused_with_both_digests(manifest: Manifest, ckpt: Path) -> None:
    ckpt.write_bytes(b"other weights")
    digest = hashlib.sha256(b"other weights").hexdigest()
    with pytest.raises(CheckpointError, match=digest) as caught:
        plan_reference(manifest, ckpt)
    assert manifest.checkpoint_sha256 in str(caught.value)
    assert "export the bundle again" in str(caught.value)


def test_without_a_checkpoint_agreement_is_not_measured(manifest: Manifest) -> None:
    plan = plan_reference(manifest, None)
    assert (plan.kind, plan.ckpt, plan.checkpoint_sha256) == ("synthetic", None, None)
    assert "label agreement was NOT measured" in plan.note


def test_without_torch_the_bundle_is_alone(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "_torch_is_installed", lambda: False)
    plan = plan_reference(manifest, None)
    assert plan.kind == "absent"
    assert "PyTorch is not installed (pip install 'tdnet-deploy[export]')" in plan.note


def test_without_torch_a_checkpoint_is_an_error(
    manifest: Manifest, ckpt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "_torch_is_installed", lambda: False)
    with pytest.raises(
        MissingExtraError, match=r"--ckpt needs PyTorch.*pip install 'tdnet-deploy\[export\]'"
    ):
        plan_reference(manifest, ckpt)


def test_the_bundle_side_is_what_a_robot_calls(engine: Path) -> None:
    frame = np.zeros((48, 48, 3), dtype=np.uint8)
    with Segmenter.open(engine, backend="fake", threads=1) as segmenter:
        side = BundleSide(segmenter)
        with side.stream() as push:
            first, second = push(frame), push(frame)
        with segmenter.stream() as stream:
            np.testing.assert_array_equal(first, stream.push(frame).labels)
            np.testing.assert_array_equal(second, stream.push(frame).labels)
    assert side.includes.startswith("host call: copy in, sub-network, APM, argmax, copy out; not: decode")


def test_the_reference_side_gives_the_argmax_of_the_stream(manifest: Manifest) -> None:
    torch = pytest.importorskip("torch")
    from tdnet_models import ReferenceStream

    threads = torch.get_num_threads()
    network = reference_for(manifest, None)
    frames = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3), dtype=np.uint8)
    try:
        side = ReferenceSide(network, memory_stride=3, threads=1)
        assert torch.get_num_threads() == 1
        stream = ReferenceStream(network, memory_stride=3)
        with side.stream() as push:
            for frame in frames:
                labels = push(frame)
                assert labels.dtype == np.uint8
                np.testing.assert_array_equal(labels, stream.push(frame).argmax(0).numpy())
    finally:
        torch.set_num_threads(threads)


def test_the_reference_has_the_bundles_shapes(manifest: Manifest) -> None:
    pytest.importorskip("torch")
    spec = reference_for(manifest, None).spec
    assert (spec.name, spec.classes, spec.feature_size) == ("td2-fa18", 5, (6, 6))
    assert spec.widths == manifest.widths
