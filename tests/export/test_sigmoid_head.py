"""A network of one class: its labels are a threshold of the upsampled logit, and their proof can fail."""

import io
import math

import msgspec
import numpy as np
import onnx
import pytest
import torch
from rich.console import Console
from tests.conftest import sigmoid_state, tiny_state

from tdnet_export import apm_graph
from tdnet_export.options import ExportOptions
from tdnet_export.parity_report import BOUNDS, ClassParity, ParityReport
from tdnet_export.pipeline import bundle_from_checkpoint
from tdnet_export.view import show_summary
from tdnet_models import ReferenceStream, load_checkpoint
from tdnet_runtime import Segmenter
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.errors import OptionError, ParityError
from tdnet_runtime.media.scene import render

NAMES = ["td2-fa18", "td4-psp18", "psp101"]
SIZE = {"psp101": (49, 65)}


@pytest.fixture(scope="module")
def exported(checkpoint_of, tmp_path_factory):
    """exported(name, threshold): the summary of an export in FP32 and FP16 with logits, made once."""
    folder, done = tmp_path_factory.mktemp("thresholds"), {}

    def make(name, threshold=None):
        if (name, threshold) not in done:
            done[name, threshold] = bundle_from_checkpoint(
                ExportOptions(
                    checkpoint=checkpoint_of(name, threshold=0.5),
                    out=folder / f"{name}-{threshold}.plan",
                    size_hw=SIZE.get(name),
                    precisions=("fp32", "fp16"),
                    logits=True,
                    threshold=threshold,
                )
            )
        return done[name, threshold]

    return make


@pytest.mark.parametrize("threshold", [None, 0.7])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_labels_are_the_threshold_of_the_upsampled_logit(backend, name, threshold, exported, checkpoint_of):
    if backend == "openvino":
        pytest.importorskip("openvino")
    network = load_checkpoint(checkpoint_of(name, threshold=0.5), size=SIZE.get(name))
    stream, seen = ReferenceStream(network), []
    height, width = network.spec.input_size
    with Segmenter.open(exported(name, threshold).path, backend=backend, precision="fp32") as segmenter:
        ours = segmenter.stream()
        for t in range(6):
            frame = render(t, height=height, width=width)
            result, logits = ours.push(frame), stream.push(frame)
            seen.append(result.labels)
            assert result.logits.shape == (1, height, width)
            expected = (torch.sigmoid(logits[0]) > (threshold or 0.5)).numpy()
            assert (result.labels == expected).mean() > 0.999
            odds = np.log((threshold or 0.5) / (1 - (threshold or 0.5)))
            assert np.array_equal(result.labels, result.logits[0] > np.float32(odds))
    assert set(np.unique(seen)) == {0, 1}


@pytest.mark.parametrize("name", NAMES)
def test_the_manifest_and_the_proof_have_two_classes(name, exported):
    summary = exported(name, 0.7)
    manifest = summary.manifest
    assert (manifest.threshold, manifest.channels) == (0.7, 1)
    assert [spec.name for spec in manifest.classes] == ["background", "foreground"]
    assert set(summary.reports) == {"fp32", "fp16"}
    for report in summary.reports.values():
        assert [c.share > 0 for c in report.classes] == [True, True]
        assert report.dominant_class is None
    assert exported(name).manifest.threshold == 0.5


def test_the_graph_compares_after_upsampling_and_costs_no_more(exported):
    with Bundle.open(exported("td2-fa18", 0.7).path) as bundle:
        for precision in ("fp32", "fp16"):
            model = onnx.load_from_string(bundle.read(bundle.manifest.graph("apm1").members[precision]))
            kinds = [node.op_type for node in model.graph.node]
            assert "ArgMax" not in kinds
            assert kinds.index("Resize") < kinds.index("Greater")
            assert kinds[kinds.index("Greater") + 1] == "Cast"


def test_a_wrong_threshold_in_the_graph_is_caught(checkpoint_of, tmp_path, monkeypatch):
    right = apm_graph.logit
    monkeypatch.setattr(apm_graph, "logit", lambda probability: right(probability) + 0.1)
    with pytest.raises(ParityError, match=r"frame 0 .* is the first whose labels differ"):
        bundle_from_checkpoint(
            ExportOptions(checkpoint=checkpoint_of("td2-fa18", threshold=0.5), out=tmp_path / "a.plan")
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("probability", [1e-4, 0.2, 0.5, 0.9999])
def test_logit(probability):
    assert 1 / (1 + math.exp(-apm_graph.logit(probability))) == pytest.approx(probability)


@pytest.mark.parametrize("threshold", [0.5001, 0.50001, 1e-4, 0.9999])
def test_thresholds_next_to_nothing_and_next_to_all_are_written_in_fp16(threshold, exported):
    """The logit of 0.50001 is below FP16's normal range; that is no reason to refuse it."""
    assert set(exported("td2-fa18", threshold).reports) == {"fp32", "fp16"}


@pytest.mark.parametrize("threshold", [0.0, 1.0, -0.5, 50.0, float("nan"), 1e-5])
def test_other_thresholds_are_refused(threshold, tmp_path):
    with pytest.raises(OptionError, match=r"--threshold is .*; expected the probability .* 0.0001 to 0.9999"):
        ExportOptions(checkpoint=tmp_path / "x.pth", threshold=threshold)


def test_a_threshold_for_more_classes_is_refused(tiny_checkpoint, tmp_path):
    options = ExportOptions(checkpoint=tiny_checkpoint("td2-fa18"), out=tmp_path / "a.plan", threshold=0.5)
    with pytest.raises(
        OptionError, match="--threshold goes with a network of one class; the checkpoint has 5"
    ):
        bundle_from_checkpoint(options)


def shown(summary):
    text = io.StringIO()
    show_summary(summary, Console(file=text, width=300))
    return text.getvalue()


def test_the_summary_shows_the_rule(exported):
    text = shown(exported("td2-fa18", 0.7))
    assert "foreground where the one logit's sigmoid is above 0.7, else background" in text
    assert "PROVES LITTLE" not in text


@pytest.mark.parametrize("classes", [1, 5])
def test_labels_of_one_class_alone_prove_little_and_that_is_said(classes, tmp_path):
    """For any number of classes; here a bias is so large that nothing else can be seen."""
    state = sigmoid_state("td4-psp18") if classes == 1 else tiny_state("td4-psp18")
    only = 1 if classes == 1 else 3
    for key in [key for key in state if key.endswith(".conv5.4.bias")]:
        state[key] = state[key].clone()
        state[key][only if classes > 1 else 0] += 1e3
    torch.save(state, tmp_path / "sure.pth")
    summary = bundle_from_checkpoint(ExportOptions(checkpoint=tmp_path / "sure.pth", out=tmp_path / "a.plan"))
    assert summary.reports["fp32"].dominant_class == only
    name = summary.manifest.classes[only].name
    text = shown(summary)
    assert (
        f"PROVES LITTLE: labels that are all '{name}' would pass, too; show it more classes: --frames" in text
    )


@pytest.mark.parametrize(
    ("shares", "precision", "dominant"),
    [
        ((1.0, 0.0), "fp32", 0),
        ((0.0005, 0.9995), "fp32", 1),
        ((0.998, 0.002), "fp32", None),  # 0.2 % of wrong labels do not pass
        ((0.985, 0.015), "fp16", None),  # the other class is judged by itself
        ((0.985, 0.005, 0.008, 0.002), "fp16", 0),
        ((0.5, 0.5), "fp16", None),
    ],
)
def test_what_a_proof_of_one_class_is(shares, precision, dominant):
    report = ParityReport(
        schema_version=4,
        precision=precision,
        engine="",
        footage="",
        memory_stride=1,
        bounds=BOUNDS[precision],
        frames=(),
        paths=(),
        classes=tuple(ClassParity(index=i, share=share, iou=1.0) for i, share in enumerate(shares)),
    )
    assert report.dominant_class == dominant
    allowed = msgspec.structs.replace(BOUNDS["fp16"], max_class_loss=1.0)  # as with --max-loss
    report = msgspec.structs.replace(report, bounds=allowed)
    assert report.dominant_class == (None if max(shares) < 0.98 else int(np.argmax(shares)))
