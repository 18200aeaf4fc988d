"""`--own-labels`: frames without attention have the labels of a cold frame, and change nothing for those after them."""

import io

import numpy as np
import onnx
import pytest
from rich.console import Console
from tests.export.engines.conftest import BUILDS

from tdnet_export import graphs
from tdnet_export.engines import build_engines
from tdnet_export.int8.own import own_model
from tdnet_export.options import ExportOptions
from tdnet_export.pipeline import bundle_from_checkpoint
from tdnet_export.view import show_summary
from tdnet_models import ReferenceStream, load_checkpoint
from tdnet_models.reference import labels_of
from tdnet_runtime import Segmenter
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.cli.inspect_view import show_bundle
from tdnet_runtime.errors import OptionError, ParityError
from tdnet_runtime.media.scene import render
from tdnet_runtime.memory import StreamMemory

NETWORKS = [("td4-psp18", None), ("td2-fa18", 0.7)]
"""Tiny networks; with a threshold that of a sigmoid head."""


@pytest.fixture(scope="module")
def exported(checkpoint_of, tmp_path_factory):
    """exported(name, threshold): the summary of an export with all that labels may have, in FP32 and FP16, made once."""
    folder, done = tmp_path_factory.mktemp("alone"), {}

    def make(name, threshold=None):
        if name not in done:
            done[name] = bundle_from_checkpoint(
                ExportOptions(
                    checkpoint=checkpoint_of(name, threshold),
                    out=folder / f"{name}.plan",
                    precisions=("fp32", "fp16"),
                    threshold=threshold,
                    confidence=True,
                    logits=threshold is None,
                    own_labels=True,
                )
            )
        return done[name]

    return make


def frames_of(summary, count):
    spec = summary.manifest.input
    return [render(index, height=spec.height, width=spec.width) for index in range(count)]


def models_of(summary, precision="fp32"):
    with Bundle.open(summary.path) as bundle:
        return {
            graph.name: onnx.load_from_string(bundle.read(graph.members[precision]))
            for graph in bundle.manifest.graphs
        }


def all_of(result):
    return [each for each in (result.labels, result.confidence, result.logits) if each is not None]


@pytest.mark.parametrize(("name", "threshold"), NETWORKS)
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_only_these_frames_differ_and_their_labels_are_a_cold_frames(
    backend, name, threshold, exported, checkpoint_of
):
    """To the bit those of the cold frames, in each precision; PyTorch's in FP32 on all paths."""
    if backend == "openvino":
        pytest.importorskip("openvino")
    summary = exported(name, threshold)
    network, paths = load_checkpoint(checkpoint_of(name, threshold)), len(summary.manifest.paths)
    frames = frames_of(summary, 2 * paths + 3)
    for precision in ("fp32", "fp16"):
        oracle = ReferenceStream(network)
        with (
            Segmenter.open(summary.path, backend=backend, precision=precision, threads=1) as segmenter,
            segmenter.stream() as always,
            segmenter.stream() as never,
            segmenter.stream() as mixed,
        ):
            for index, frame in enumerate(frames):
                attention = index % 3 == 2
                full, alone = always.push(frame), never.push(frame, attention=False)
                either = mixed.push(frame, attention=attention)
                assert alone.cold
                assert either.cold == (not attention or full.cold)
                same = full if attention else alone
                assert all(map(np.array_equal, all_of(either), all_of(same)))
                assert full.cold == all(map(np.array_equal, all_of(alone), all_of(full)))
                if precision == "fp32":
                    oracle.push(frame)
                    logits = network.classify(oracle.trace.path, oracle.trace.features.value)[0]
                    assert (labels_of(logits, threshold).numpy() == alone.labels).mean() > 0.999
            for slot in (tensor for tensor in mixed.tensor_names if tensor.startswith("slot")):
                assert np.array_equal(mixed.tensor(slot), always.tensor(slot))


@pytest.mark.parametrize(("name", "threshold"), NETWORKS)
def test_the_graph_is_what_the_apm_computes_of_v(name, threshold, exported):
    """Node for node; which is also how INT8's are made."""
    models = models_of(exported(name, threshold))
    for path in exported(name, threshold).manifest.paths:
        found = models[path.own].graph
        assert [value.name for value in found.input] == ["value"]
        assert own_model(models[path.apm], path.own).graph == found
        assert not any(node.op_type == "Softmax" for node in found.node)


def test_the_proof_and_the_views_tell_it(exported):
    summary = exported("td4-psp18")
    for precision, report in summary.reports.items():
        assert len(report.own.frames) == len(report.frames)
        assert all("slot1_k" in f.errors and "recomposed" not in f.errors for f in report.own.frames)
        proof = summary.manifest.parity[precision].own
        assert (proof.frames, proof.label_agreement) == (len(report.frames), report.own.label_agreement)
        assert 0 < proof.confidence_error <= report.bounds.max_confidence_error
        warm = [(a, f) for a, f in zip(report.own.frames, report.frames, strict=True) if not f.cold]
        assert all(mine.errors["logits"] != full.errors["logits"] for mine, full in warm)
    text = io.StringIO()
    show_summary(summary, Console(file=text, width=200))
    assert text.getvalue().count("without attention") == 2
    text = io.StringIO()
    with Bundle.open(summary.path) as bundle:
        show_bundle(bundle, Console(file=text, width=400))
    for words in (
        "of each sub-network alone, on frames without",
        "subnet2, apm2, or subnet2, own2",
        "fp16, own labels",
    ):
        assert words in text.getvalue()


def test_a_bundle_without_them_is_as_before_and_says_how_to_get_them(exported, tiny_bundle):
    manifest = exported("td4-psp18").manifest
    with Segmenter.open(tiny_bundle("td4-psp18")) as segmenter, segmenter.stream() as stream:
        plain = segmenter.manifest
        assert plain.own_graphs == ()
        assert [graph.name for graph in plain.graphs] == [
            graph.name for graph in manifest.graphs if graph.name not in manifest.own_graphs
        ]
        with pytest.raises(
            OptionError, match=r"^push\(attention=False\): [^\n]*--size \d+x\d+ --own-labels$"
        ):
            stream.push(np.zeros((40, 50, 3), np.uint8), attention=False)
        text = io.StringIO()
        show_bundle(segmenter.bundle, Console(file=text, width=400))
        assert "export with --own-labels" in text.getvalue()


def test_a_network_without_memory_has_none(checkpoint_of, tmp_path):
    options = ExportOptions(
        checkpoint=checkpoint_of("psp101"), out=tmp_path / "a.plan", size_hw=(49, 65), own_labels=True
    )
    with pytest.raises(OptionError, match=r"--own-labels goes with networks that remember frames; .*psp101"):
        bundle_from_checkpoint(options)


def _another_paths_norm(patch):
    """The LayerNorm and the head of path 1 in path 2's own graph: seen where nothing else is."""
    original = graphs._write_classified

    def write(writer, job, value):
        if job.name == "own2":
            job = graphs.GraphJob(job.tensors, job.contract, job.weights, 1)
        original(writer, job, value)

    patch.setattr(graphs, "_write_classified", write)


def _not_remembered(patch):
    """Frames without attention leave the memory as it was."""
    original = StreamMemory.run

    def run(self, path, *, cold, attention=True):
        before = self.dump()
        original(self, path, cold=cold, attention=attention)
        if not attention:
            self.load(before)

    patch.setattr(StreamMemory, "run", run)


@pytest.mark.parametrize(
    ("plant", "where"),
    [
        (_another_paths_norm, r"frame 1 \(path 2, cold\) .* in the tensor 'logits'"),
        (_not_remembered, r"frame 0 \(path 1, cold\) .* in the tensor 'slot1_k'"),
    ],
)
def test_a_planted_fault_is_caught(plant, where, checkpoint_of, tmp_path, monkeypatch):
    plant(monkeypatch)
    options = ExportOptions(checkpoint=checkpoint_of("td2-fa18"), out=tmp_path / "a.plan", own_labels=True)
    with pytest.raises(ParityError, match=rf"^without attention the exported graphs do not .*: {where}"):
        bundle_from_checkpoint(options)
    assert list(tmp_path.iterdir()) == []


@BUILDS
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_tensorrt_rtx_builds_it(precision, exported):
    model = models_of(exported("td4-psp18"), precision)["own1"]
    spec, files = build_engines(
        {"own1": model.SerializeToString()}, backend="tensorrt-rtx", precision=precision
    )
    assert len(files[spec.graphs["own1"].engine]) > 1000
