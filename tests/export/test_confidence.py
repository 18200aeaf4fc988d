"""`--confidence`: each label's share, beside the labels, from the graph to the result; and its proof can fail."""

import io

import numpy as np
import onnx
import pytest
import torch
from rich.console import Console
from tests.conftest import sigmoid_state, tiny_state
from tests.export.engines.conftest import BUILDS

from tdnet_export import confidence_graph
from tdnet_export.engines import build_engines
from tdnet_export.options import ExportOptions
from tdnet_export.parity_checks import confidence_parity
from tdnet_export.pipeline import bundle_from_checkpoint
from tdnet_export.view import show_summary
from tdnet_models import ReferenceStream, load_checkpoint
from tdnet_models.reference import labels_of, shares_of
from tdnet_runtime import Segmenter
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.cli.inspect_view import show_bundle
from tdnet_runtime.errors import ParityError
from tdnet_runtime.media.scene import render

SIZE = {"psp101": (49, 65)}
NETWORKS = [
    ("td2-fa18", None),
    ("td4-psp18", None),
    ("td2-fa18", 0.7),
    ("psp101", 0.2),
]
"""Tiny networks; with a threshold those of a sigmoid head."""


@pytest.fixture(scope="module")
def exported(checkpoint_of, tmp_path_factory):
    """exported(name, threshold): the summary of an export with confidence in FP32 and FP16, made once."""
    folder, done = tmp_path_factory.mktemp("confident"), {}

    def make(name, threshold=None):
        if (name, threshold) not in done:
            done[name, threshold] = bundle_from_checkpoint(
                ExportOptions(
                    checkpoint=checkpoint_of(name, threshold),
                    out=folder / f"{name}-{threshold}.plan",
                    size_hw=SIZE.get(name),
                    precisions=("fp32", "fp16"),
                    threshold=threshold,
                    confidence=True,
                )
            )
        return done[name, threshold]

    return make


def graph(summary, precision="fp32"):
    """The last graph of path 1."""
    path = summary.manifest.paths[0]
    with Bundle.open(summary.path) as bundle:
        member = bundle.manifest.graph(path.apm or path.subnet).members[precision]
        return onnx.load_from_string(bundle.read(member))


def steps_off(result, logits, threshold):
    """By pixel, how many steps of 1/255 the confidence is off PyTorch's share of the same label."""
    shares = shares_of(logits, torch.from_numpy(result.labels), threshold).numpy()
    return np.abs(result.confidence - 255 * shares)


@pytest.mark.parametrize(("name", "threshold"), NETWORKS)
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_it_is_pytorchs_share_of_the_label(backend, name, threshold, exported, checkpoint_of):
    """In FP32 within one step, cold frames too; in FP16, which a CPU computes in FP32, hardly more."""
    if backend == "openvino":
        pytest.importorskip("openvino")
    summary = exported(name, threshold)
    network = load_checkpoint(checkpoint_of(name, threshold), size=SIZE.get(name))
    height, width = network.spec.input_size
    for precision, worst, mean in (("fp32", 1.0, 0.5), ("fp16", 40.0, 2.0)):
        oracle = ReferenceStream(network)
        with (
            Segmenter.open(summary.path, backend=backend, precision=precision, threads=1) as segmenter,
            segmenter.stream() as stream,
        ):
            for t in range(5):
                frame = render(t, height=height, width=width)
                result, logits = stream.push(frame), oracle.push(frame)
                assert (result.confidence.dtype, result.confidence.shape) == (np.uint8, (height, width))
                off = steps_off(result, logits, threshold)
                assert off.max() <= worst
                assert off.mean() <= mean
                assert len(np.unique(result.confidence)) > 5  # it says something


@pytest.mark.parametrize(("name", "threshold"), NETWORKS[:1] + NETWORKS[2:3])
def test_the_proof_and_the_views_tell_it(name, threshold, exported):
    summary = exported(name, threshold)
    manifest = summary.manifest
    assert manifest.gives_confidence
    for precision, report in summary.reports.items():
        assert all(frame.confidence is not None for frame in report.frames)
        assert all(frame.confidence.worst <= frame.confidence.allowed for frame in report.frames)
        assert report.confidence_error == manifest.parity[precision].confidence_error
        assert 0 < report.confidence_error <= report.bounds.max_confidence_error
    assert all(frame.confidence.allowed < 0.02 for frame in summary.reports["fp32"].frames)
    assert summary.reports["fp32"].confidence_error < 1 / 255
    text = io.StringIO()
    show_summary(summary, Console(file=text, width=200))
    assert text.getvalue().count("confidence off by") == 2
    text = io.StringIO()
    with Bundle.open(summary.path) as bundle:
        show_bundle(bundle, Console(file=text, width=400))
    share = "softmax share" if threshold is None else "probability"
    assert f"uint8, the label's {share}, 255 for 1; not calibrated" in text.getvalue()
    assert "Confidence off by, in the mean of the worst frame, of its range: fp32 0.00" in text.getvalue()


def test_labels_are_made_as_without_it(exported, tiny_bundle):
    """By the same nodes; nothing is computed twice."""
    summary = exported("td2-fa18")
    with Bundle.open(tiny_bundle("td2-fa18")) as bundle:
        assert not bundle.manifest.gives_confidence
        plain = onnx.load_from_string(bundle.read(bundle.manifest.graph("apm1").members["fp32"]))
    nodes = list(graph(summary).graph.node)
    own = [node for node in nodes if node.name.startswith("confidence/")]
    assert [node.op_type for node in own] == [
        "Reshape",
        "GatherElements",
        "Sub",
        "Exp",
        "ReduceSum",
        "Div",
        "Round",
        "Cast",
    ]
    assert [node for node in nodes if node not in own] == list(plain.graph.node)
    frame = render(0, height=summary.manifest.input.height, width=summary.manifest.input.width)
    with (
        Segmenter.open(summary.path) as one,
        Segmenter.open(tiny_bundle("td2-fa18")) as other,
        one.stream() as stream,
        other.stream() as bare,
    ):
        with_it, without = stream.push(frame), bare.push(frame)
    assert np.array_equal(with_it.labels, without.labels)
    assert without.confidence is None


def test_frames_of_another_size_get_the_confidence_of_their_labels(exported):
    """Resized as the labels are: each pixel has that of the network's pixel which its label is from."""
    cv2 = pytest.importorskip("cv2")
    with Segmenter.open(exported("td2-fa18").path) as segmenter, segmenter.stream() as stream:
        kept = []
        for t in range(3):
            out = np.empty((61, 83), np.uint8)
            result = stream.push(render(t, height=61, width=83), out=out)
            for name, values in (("labels", result.labels), ("confidence", result.confidence)):
                expected = cv2.resize(stream.tensor(name)[0], (83, 61), interpolation=cv2.INTER_NEAREST_EXACT)
                assert np.array_equal(values, expected)
            assert result.labels is out
            kept.append((result.confidence, result.confidence.copy()))
        assert all(np.array_equal(mine, copy) for mine, copy in kept)  # the caller's own arrays


def test_a_restored_stream_goes_on_with_the_same_confidence(exported):
    with Segmenter.open(exported("td4-psp18").path) as segmenter, segmenter.stream() as stream:
        height, width = segmenter.manifest.input.height, segmenter.manifest.input.width
        frames = [render(t, height=height, width=width) for t in range(6)]
        for frame in frames[:3]:
            stream.push(frame)
        snapshot = stream.snapshot()
        assert "confidence" not in snapshot.slots
        expected = [stream.push(frame).confidence for frame in frames[3:]]
        stream.restore(snapshot)
        assert all(
            np.array_equal(stream.push(f).confidence, e) for f, e in zip(frames[3:], expected, strict=True)
        )


@pytest.mark.parametrize(
    ("threshold", "size", "precisions"), [(None, 3e4, ("fp32", "fp16")), (0.5, 1e3, ("fp32",))]
)
def test_certainty_is_255_and_nothing_overflows(threshold, size, precisions, tmp_path):
    """Logits of ±30,000, which FP16 still holds: their exponentials nothing holds."""
    state = tiny_state("td4-psp18") if threshold is None else sigmoid_state("td4-psp18")
    for key in [key for key in state if key.endswith(".conv5.4.bias")]:
        state[key] = torch.full_like(state[key], -size)
        state[key][-1] = size
    torch.save(state, tmp_path / "sure.pth")
    summary = bundle_from_checkpoint(
        ExportOptions(
            checkpoint=tmp_path / "sure.pth",
            out=tmp_path / "a.plan",
            precisions=precisions,
            confidence=True,
        )
    )
    with Segmenter.open(summary.path) as segmenter, segmenter.stream() as stream:
        result = stream.push(np.zeros((40, 50, 3), np.uint8))
    assert (result.confidence == 255).all()


def _full_is_250(patch):
    patch.setattr(confidence_graph, "_FULL", 250.0)


def _cut_off(patch):
    patch.setattr(
        confidence_graph,
        "_write_steps",
        lambda writer, steps: writer.op(
            "Cast", steps, name="to_uint8", as_output="confidence", to=onnx.TensorProto.UINT8
        ),
    )


def _of_the_other_class(patch):
    original = confidence_graph.write_sigmoid_confidence
    from tdnet_export import apm_graph

    patch.setattr(
        apm_graph,
        "write_sigmoid_confidence",
        lambda writer, logit, above: original(writer, writer.op("Neg", logit, name="planted"), above),
    )


@pytest.mark.parametrize(
    ("plant", "threshold"), [(_full_is_250, None), (_cut_off, None), (_of_the_other_class, 0.5)]
)
def test_a_planted_fault_is_caught(plant, threshold, checkpoint_of, tmp_path, monkeypatch):
    plant(monkeypatch)
    with pytest.raises(ParityError, match=r"frame 0 .* is the first whose confidence differs: by 0\.\d+ of"):
        bundle_from_checkpoint(
            ExportOptions(
                checkpoint=checkpoint_of("td2-fa18", threshold), out=tmp_path / "a.plan", confidence=True
            )
        )
    assert list(tmp_path.iterdir()) == []


def test_how_far_a_pixel_may_be_off_follows_from_the_logits():
    """No share moves by more than tanh(δ/2) where no logit moves by more than δ, and one does move so far."""
    generator = np.random.default_rng(0)
    for delta in (0.01, 0.5, 3.0):
        logits = torch.from_numpy(generator.normal(scale=3, size=(4, 50, 50)))
        moved = logits + torch.from_numpy(generator.uniform(-delta, delta, size=(4, 50, 50)))
        labels = labels_of(logits)
        off = (shares_of(moved, labels) - shares_of(logits, labels)).abs().max().item()
        assert off <= np.tanh(delta / 2)
        pair = torch.tensor([delta / 2, -delta / 2], dtype=torch.float64).reshape(2, 1, 1)
        zero = torch.zeros(1, 1, dtype=torch.uint8)
        assert (shares_of(pair, zero) - shares_of(-pair, zero)).item() == pytest.approx(np.tanh(delta / 2))
    found = np.array([255, 0], np.uint8)
    figures = confidence_parity(found, np.array([1.0, 0.5]), logits_off=1.0, rounding=1 / 255)
    assert (figures.mean, figures.worst) == (0.25, 0.5)
    assert figures.allowed == pytest.approx(np.tanh(0.5) + 1 / 255)
    nothing = confidence_parity(found[:0], np.zeros(0), logits_off=None, rounding=0.0)
    assert (nothing.mean, nothing.worst, nothing.allowed) == (0.0, 0.0, 1.0)


@BUILDS
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("threshold", [None, 0.7])
def test_tensorrt_rtx_builds_it(threshold, precision, exported):
    model = graph(exported("td2-fa18", threshold), precision)
    spec, files = build_engines(
        {"apm1": model.SerializeToString()}, backend="tensorrt-rtx", precision=precision
    )
    assert len(files[spec.graphs["apm1"].engine]) > 1000
