"""A whole data set streamed through a bundle: what `evaluate` counts is what torchmetrics counts, path by path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.evaluation.conftest import CLASSES

pytest.importorskip("torchmetrics")

import torch
from torchmetrics import classification

from tdnet_data.opening import open_dataset
from tdnet_data.settings import DataSettings
from tdnet_eval.evaluation import JudgedFrame, evaluate
from tdnet_runtime import Segmenter


def _metrics() -> dict[str, Any]:
    shared = {"num_classes": len(CLASSES), "ignore_index": 255}
    return {
        "miou": classification.MulticlassJaccardIndex(**shared),
        "pixel_accuracy": classification.MulticlassAccuracy(**shared, average="micro"),
        "confusion": classification.MulticlassConfusionMatrix(**shared),
    }


def test_scores_by_path_and_over_all(drives: Path, named_bundle: Path) -> None:
    metrics: dict[str, dict[str, Any]] = {}

    def on_frame(frame: JudgedFrame) -> None:
        assert frame.truth is not None
        labels, truth = (torch.from_numpy(a.astype(np.int64)) for a in (frame.labels[""], frame.truth))
        for part in ("overall", "cold" if frame.cold[""] else f"path {frame.paths['']}"):
            for metric in metrics.setdefault(part, _metrics()).values():
                metric.update(labels, truth)

    dataset = open_dataset(DataSettings(root=str(drives)), "val")
    with Segmenter.open(named_bundle, backend="onnxruntime", threads=1) as segmenter:
        found = evaluate(segmenter.stream, dataset, on_frame=on_frame)
    assert found.cold is not None
    tallies = {"overall": found.overall, "cold": found.cold}
    tallies |= {f"path {path}": tally for path, tally in found.by_path.items()}
    assert metrics.keys() == tallies.keys() == {"overall", "cold", "path 1", "path 2"}
    for part, tally in tallies.items():
        theirs = {name: metric.compute() for name, metric in metrics[part].items()}
        assert np.array_equal(tally.confusion.counts, theirs["confusion"].numpy())
        assert tally.miou == pytest.approx(float(theirs["miou"]), abs=1e-6)  # theirs is float32
        assert tally.pixel_accuracy == pytest.approx(float(theirs["pixel_accuracy"]), abs=1e-6)
