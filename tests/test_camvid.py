"""The deployed bundle of the demo's network scores on CamVid what its model card says."""

import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from tdnet_export.options import ExportOptions
from tdnet_export.pipeline import bundle_from_checkpoint
from tdnet_runtime import Segmenter
from tdnet_runtime.media.sources import open_source

ROOT = Path(__file__).parents[1]
ZOO = ROOT / "models" / "zoo" / "td2-fa18-w32-camvid"
CAMVID = ROOT.parent / "shared" / "camvid"
CLASSES = 11


def mean_iou(confusion):
    """Mean of intersection over union of the classes; `confusion[truth, label]` counts pixels."""
    hits = np.diag(confusion)
    return float((hits / (confusion.sum(0) + confusion.sum(1) - hits)).mean())


def test_mean_iou_of_a_hand_computed_case():
    assert mean_iou(np.array([[3, 1], [0, 4]])) == pytest.approx((3 / 4 + 4 / 5) / 2)


@pytest.mark.skipif(not CAMVID.is_dir(), reason="CamVid lies beside the project only where it was put")
def test_val_miou_is_the_cards(tmp_path):
    cv2 = pytest.importorskip("cv2")
    card = float(re.search(r"\| val [^|]*\| ([0-9.]+)", ZOO.with_suffix(".md").read_text())[1])
    bundle = tmp_path / "zoo.plan"
    bundle_from_checkpoint(ExportOptions(checkpoint=ZOO.with_suffix(".pth"), out=bundle))
    confusion = np.zeros((CLASSES, CLASSES), np.int64)
    with (
        open_source(str(CAMVID / "val")) as source,
        Segmenter.open(bundle) as segmenter,
        segmenter.stream() as stream,
    ):
        assert segmenter.manifest.classes[0].name == "sky"
        for frame in source:
            truth = cv2.imread(str(CAMVID / "valannot" / f"{frame.name}.png"), cv2.IMREAD_UNCHANGED)
            labels = stream.push(frame.image).labels
            known = truth < CLASSES
            pairs = truth[known].astype(np.int64) * CLASSES + labels[known]
            confusion += np.bincount(pairs, minlength=CLASSES**2).reshape(CLASSES, CLASSES)
    assert mean_iou(confusion) == pytest.approx(card, abs=0.002)
