"""The deployed bundle of the demo's network scores on CamVid what its model card says."""

import re
from pathlib import Path

import numpy as np
import pytest
from tests.export.engines.conftest import BUILDS

pytest.importorskip("torch")

from tdnet_export.options import ExportOptions
from tdnet_export.parity_report import BOUNDS
from tdnet_export.pipeline import bundle_from_checkpoint
from tdnet_runtime import Segmenter
from tdnet_runtime.media.sources import open_source

ROOT = Path(__file__).parents[1]
ZOO = ROOT / "models" / "zoo" / "td2-fa18-w32-camvid"
CAMVID = ROOT.parent / "shared" / "camvid"
CLASSES = 11
SKY, BUILDING = 0, 1


def mean_iou(confusion):
    """Mean of intersection over union of the classes; `confusion[truth, label]` counts pixels."""
    hits = np.diag(confusion)
    return float((hits / (confusion.sum(0) + confusion.sum(1) - hits)).mean())


def test_mean_iou_of_a_hand_computed_case():
    assert mean_iou(np.array([[3, 1], [0, 4]])) == pytest.approx((3 / 4 + 4 / 5) / 2)


BESIDE = pytest.mark.skipif(
    not CAMVID.is_dir(), reason="CamVid lies beside the project only where it was put"
)


def val_miou(bundle, precision):
    """Of a bundle on ONNX Runtime; the labels, and the truth: uint8 [frames, H, W]."""
    cv2 = pytest.importorskip("cv2")
    confusion, every, truths = np.zeros((CLASSES, CLASSES), np.int64), [], []
    with (
        open_source(str(CAMVID / "val")) as source,
        Segmenter.open(bundle, precision=precision) as segmenter,
        segmenter.stream() as stream,
    ):
        assert segmenter.manifest.classes[0].name == "sky"
        for frame in source:
            truth = cv2.imread(str(CAMVID / "valannot" / f"{frame.name}.png"), cv2.IMREAD_UNCHANGED)
            labels = stream.push(frame.image).labels
            every.append(labels.copy())
            truths.append(truth)
            known = truth < CLASSES
            pairs = truth[known].astype(np.int64) * CLASSES + labels[known]
            confusion += np.bincount(pairs, minlength=CLASSES**2).reshape(CLASSES, CLASSES)
    return mean_iou(confusion), np.stack(every), np.stack(truths)


@BESIDE
def test_val_miou_is_the_cards(tmp_path):
    card = float(re.search(r"\| val [^|]*\| ([0-9.]+)", ZOO.with_suffix(".md").read_text())[1])
    bundle = tmp_path / "zoo.plan"
    bundle_from_checkpoint(ExportOptions(checkpoint=ZOO.with_suffix(".pth"), out=bundle))
    miou, labels, truth = val_miou(bundle, "fp32")
    assert miou == pytest.approx(card, abs=0.002)
    sky = labels[:, 0][truth[:, 0] == SKY]
    assert (sky == BUILDING).mean() < 0.01, "the uppermost row of the sky is a roof"
    assert (sky == SKY).mean() > 0.9


@BESIDE
@BUILDS
@pytest.mark.slow
def test_int8_for_engines_keeps_the_score(tmp_path):
    """Within INT8's bounds, no --max-loss; the graphs that the engines are built from, on all of val."""
    pytest.importorskip("nncf")
    bundle = tmp_path / "zoo.plan"
    options = ExportOptions(
        checkpoint=ZOO.with_suffix(".pth"),
        out=bundle,
        precisions=("fp32", "int8_fp16"),
        backends=("tensorrt-rtx",),
        calibration=str(CAMVID / "val"),
    )
    summary = bundle_from_checkpoint(options)
    assert summary.reports["int8_fp16"].bounds == BOUNDS["int8"]
    _, engines = summary.manifest.engines
    assert engines.precision == "int8_fp16"
    assert all(engine.int8_share > 0.5 for engine in engines.graphs.values())
    (single, labels, _), (score, found, _) = (val_miou(bundle, p) for p in ("fp32", "int8_fp16"))
    assert score == pytest.approx(single, abs=0.01)
    assert (labels == found).mean() > 0.985
