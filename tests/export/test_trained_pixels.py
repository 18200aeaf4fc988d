"""The demo's trained network, made into one for BGR and into one of a single class: INT8, FP16 and engines."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from tdnet_export.int8 import unavailable as int8_unavailable
from tdnet_export.options import ExportOptions
from tdnet_export.pipeline import bundle_from_checkpoint
from tdnet_models import ReferenceStream, load_checkpoint
from tdnet_models.preprocessing import IMAGENET, Preprocessing
from tdnet_runtime.media.scene import render

ROOT = Path(__file__).parents[2]
CAMVID = ROOT.parent / "shared" / "camvid"
ZOO = ROOT / "models" / "zoo" / "td2-fa18-w32-camvid.pth"
SIZE = (120, 160)
ROAD = 3
ENGINES = importlib.util.find_spec("tensorrt_rtx") and importlib.util.find_spec("polygraphy")
CAFFE = Preprocessing(
    mean=(103.53, 116.28, 123.675), std=(57.375, 57.12, 58.395), scale=1.0, color_order="BGR"
)
"""ImageNet's, as code has it that reads BGR and does not divide by 255."""


def of_bgr(state):
    return {key: value.flip(1) if value.shape[1:2] == (3,) else value for key, value in state.items()}


def of_road(state):
    """One logit: that of road over that of the mean of other large classes."""

    def one(weight):
        return weight[ROAD : ROAD + 1] - weight[[0, 1, 4, 5]].mean(0, keepdim=True)

    return {key: one(value) if key.endswith("conv_out.weight") else value for key, value in state.items()}


@pytest.fixture(scope="module")
def state():
    content = torch.load(ZOO, map_location="cpu", weights_only=False)
    return content.get("model_state", content)


@pytest.fixture(scope="module")
def frames():
    return [render(t, height=SIZE[0], width=SIZE[1]) for t in range(24)]


def test_wrong_channels_are_far_off(state, frames, tmp_path):
    """What a bundle for RGB makes of a network that was trained on BGR."""
    torch.save(of_bgr(state), tmp_path / "bgr.pth")
    network = load_checkpoint(tmp_path / "bgr.pth", size=SIZE)
    right, wrong = (ReferenceStream(network, preprocessing=p) for p in (IMAGENET.bgr, IMAGENET))
    colourful = [np.stack([f[..., 0] // 2, f[..., 1], 255 - f[..., 2] // 3], axis=2) for f in frames[:6]]
    equal = [(right.push(f).argmax(0) == wrong.push(f).argmax(0)).float().mean() for f in colourful]
    assert np.mean(equal) < 0.8


@pytest.fixture(scope="module", params=["BGR", "one class"])
def changed(request, state, tmp_path_factory):
    """A checkpoint, and the options that belong to it."""
    change, given = {
        "BGR": (of_bgr, {"preprocessing": CAFFE}),
        "one class": (of_road, {"threshold": 0.7}),
    }[request.param]
    checkpoint = tmp_path_factory.mktemp("changed") / "net.pth"
    torch.save(change(state), checkpoint)
    return checkpoint, given


def test_fp16_and_engines(changed, tmp_path):
    checkpoint, given = changed
    summary = bundle_from_checkpoint(
        ExportOptions(
            checkpoint=checkpoint,
            out=tmp_path / "net.plan",
            size_hw=SIZE,
            precisions=("fp32", "fp16"),
            backends=("tensorrt-rtx",) if ENGINES else (),
            **given,
        )
    )
    assert all(report.dominant_class is None for report in summary.reports.values())
    assert summary.reports["fp16"].label_agreement > 0.99
    if not ENGINES:
        pytest.skip("TensorRT-RTX is not installed: no engines were built, all else was checked")
    assert [spec.backend for spec in summary.manifest.engines] == ["tensorrt-rtx"]


@pytest.mark.slow
@pytest.mark.skipif(int8_unavailable() is not None, reason="INT8 needs NNCF")
@pytest.mark.skipif(not CAMVID.is_dir(), reason="CamVid lies beside the project only where it was put")
def test_int8(changed, tmp_path):
    checkpoint, given = changed
    summary = bundle_from_checkpoint(
        ExportOptions(
            checkpoint=checkpoint,
            out=tmp_path / "net.plan",
            size_hw=SIZE,
            frames=str(CAMVID / "val"),
            calibration=str(CAMVID / "train"),
            precisions=("int8",),
            max_loss=0.04,
            **given,
        )
    )
    assert summary.reports["int8"].dominant_class is None
