from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import pytest

from tdnet_bench.quality import reference
from tdnet_bench.quality.reference import checked_digest, choose_reference, judged_sides
from tdnet_bench.records.config import SideSpec
from tdnet_runtime.errors import CheckpointError
from tdnet_runtime.manifest import Manifest

SUBJECT, PEER = "fake:fp32", "pytorch"


@pytest.fixture
def half(sides: dict[str, SideSpec]) -> SideSpec:
    return msgspec.structs.replace(sides[SUBJECT], name="fake:fp16", precision="fp16")


@pytest.fixture
def made_up(sides: dict[str, SideSpec]) -> SideSpec:
    return msgspec.structs.replace(sides[PEER], weights="synthetic")


def test_pytorch_with_the_checkpoint_is_the_reference(sides: dict[str, SideSpec], half: SideSpec) -> None:
    chosen = choose_reference([half, *sides.values()])
    assert chosen.side == PEER
    assert "the weights that the bundle was exported from" in chosen.note


def test_without_it_the_bundles_own_fp32_graphs_are(
    sides: dict[str, SideSpec], half: SideSpec, made_up: SideSpec
) -> None:
    chosen = choose_reference([half, sides[SUBJECT], made_up])
    assert chosen.side == SUBJECT
    assert "agreement with PyTorch was NOT measured" in chosen.note


def test_alone_or_beside_made_up_weights_there_is_none(
    sides: dict[str, SideSpec], half: SideSpec, made_up: SideSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = choose_reference([sides[SUBJECT], made_up])
    assert chosen.side is None
    assert "made-up weights" in chosen.note
    assert "label agreement was NOT measured" in chosen.note
    monkeypatch.setattr(reference, "torch_is_installed", lambda: False)
    for alone in ([sides[SUBJECT]], [half]):
        chosen = choose_reference(alone)
        assert chosen.side is None
        assert "NOT measured; PyTorch is not installed" in chosen.note


def test_made_up_weights_are_not_judged(sides: dict[str, SideSpec], made_up: SideSpec) -> None:
    assert judged_sides([sides[SUBJECT], made_up]) == (SUBJECT,)
    assert judged_sides(list(sides.values())) == (SUBJECT, PEER)


def test_another_checkpoint_is_refused_with_both_digests(manifest: Manifest, tmp_path: Path) -> None:
    ckpt = tmp_path / "best.pth"
    ckpt.write_bytes(b"the weights")
    assert checked_digest(ckpt, manifest) == manifest.checkpoint_sha256
    ckpt.write_bytes(b"other weights")
    with pytest.raises(CheckpointError, match=hashlib.sha256(b"other weights").hexdigest()) as caught:
        checked_digest(ckpt, manifest)
    assert manifest.checkpoint_sha256 in str(caught.value)
    assert "export the bundle again" in str(caught.value)
