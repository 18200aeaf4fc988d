"""From a checkpoint to a bundle: all or nothing, whatever comes in between."""

import copy
import dataclasses
import io
import os
import re
import shlex
import signal
import tempfile
import zipfile
from functools import partial
from pathlib import Path

import cv2
import msgspec
import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from rich.console import Console
from tests.export.engines.conftest import BUILDS

from tdnet_export import graph_sets, pipeline, proof
from tdnet_export.engines import rebuild
from tdnet_export.int8 import check_signed
from tdnet_export.options import ExportOptions
from tdnet_export.parity_report import BOUNDS, ParityReport
from tdnet_export.pipeline import bundle_from_checkpoint
from tdnet_export.view import show_summary
from tdnet_models import ReferenceStream, load_checkpoint
from tdnet_runtime import Segmenter
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.errors import (
    BackendError,
    CheckpointError,
    ExportError,
    MediaError,
    MissingExtraError,
    OptionError,
    ParityError,
    SizeError,
)
from tdnet_runtime.media import images
from tdnet_runtime.media.scene import render

REPORT = "reports/parity-fp32.json"
OLD = b"what was there before"
STAGES = [
    ("load checkpoint", 0, 1),
    ("load checkpoint", 1, 1),
    *(
        (f"write {graph}", index + step, 4)
        for index, graph in enumerate(["subnet1", "apm1", "subnet2", "apm2"])
        for step in (0, 1)
    ),
    *(("prove FP32", frame, 8) for frame in range(9)),
    ("write bundle", 0, 1),
    ("write bundle", 1, 1),
]
"""Of a network of two paths."""


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """A folder with an old bundle in it, and one for temporary files."""
    out, temporary = tmp_path / "out", tmp_path / "temporary"
    out.mkdir()
    temporary.mkdir()
    (out / "net.plan").write_bytes(OLD)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    return out, temporary


def assert_untouched(folders):
    out, temporary = folders
    assert [path.name for path in out.iterdir()] == ["net.plan"]
    assert (out / "net.plan").read_bytes() == OLD
    assert list(temporary.iterdir()) == []


@pytest.fixture
def options(tiny_checkpoint, folders):
    return ExportOptions(checkpoint=tiny_checkpoint("td2-fa18"), out=folders[0] / "net.plan")


def test_progress_tells_each_stage_from_its_beginning(options, folders):
    seen = []
    summary = bundle_from_checkpoint(options, on_progress=lambda *step: seen.append(step))
    assert seen == STAGES
    assert summary.path == folders[0] / "net.plan"
    assert list(summary.graph_seconds) == ["fp32"]
    assert 0 < summary.graph_seconds["fp32"] + summary.proof_seconds < summary.total_seconds
    assert [path.name for path in folders[0].iterdir()] == ["net.plan"]
    assert list(folders[1].iterdir()) == []
    with Bundle.open(summary.path) as bundle:
        assert bundle.manifest == summary.manifest


@pytest.mark.parametrize("name", ["a [red] b'c.plan", "x[/y].plan"])
def test_the_summarys_paths_and_command_are_taken_literally(name, options, folders):
    """Spaces, quotes and what Rich would take for markup."""
    out = folders[0] / name
    out.parent.mkdir(exist_ok=True)
    clip = folders[0] / "clip [" / "b]"
    clip.mkdir(parents=True)
    for index in range(8):
        image = cv2.cvtColor(render(index, height=64, width=96), cv2.COLOR_RGB2BGR)
        assert cv2.imwrite(str(clip / f"{index}.png"), image)
    shown = io.StringIO()
    changed = dataclasses.replace(options, out=out, frames=str(clip))
    show_summary(bundle_from_checkpoint(changed), Console(file=shown, width=500))
    assert f"{out} (" in shown.getvalue()
    assert "user's footage, b]" in shown.getvalue()
    command = shown.getvalue().partition("Next: ")[2]
    assert shlex.split(command)[:3] == ["tdnet-run", "--engine", str(out)]


@pytest.mark.parametrize("step", STAGES[:-1], ids=lambda step: f"{step[0]} {step[1]}".replace(" ", "-"))
def test_ctrl_c_at_any_stage_leaves_everything_as_it_was(step, options, folders):
    def interrupt(*now):
        if now == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bundle_from_checkpoint(options, on_progress=interrupt)
    assert_untouched(folders)


@pytest.mark.parametrize("step", [("prove FP32", 3, 8), ("write bundle", 0, 1)], ids=lambda step: step[0])
def test_sigterm_leaves_everything_as_it_was(step, options, folders):
    """As from `docker stop`: without a handler the proof's bundle would stay in the temporary folder."""

    def stop(*now):
        if now == step:
            signal.raise_signal(signal.SIGTERM)

    def unhandled(number, frame):
        raise AssertionError("nobody handles SIGTERM")

    before = signal.signal(signal.SIGTERM, unhandled)
    try:
        with pytest.raises(SystemExit, match="143"):
            bundle_from_checkpoint(options, on_progress=stop)
        assert signal.getsignal(signal.SIGTERM) is unhandled
    finally:
        signal.signal(signal.SIGTERM, before)
    assert_untouched(folders)


def test_ctrl_c_after_the_last_stage_leaves_the_new_bundle_whole(options, folders):
    def interrupt(*now):
        if now == STAGES[-1]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bundle_from_checkpoint(options, on_progress=interrupt)
    assert [path.name for path in folders[0].iterdir()] == ["net.plan"]
    assert list(folders[1].iterdir()) == []
    with Segmenter.open(options.out) as segmenter, segmenter.stream() as stream:
        stream.push(render(0, height=64, width=96))


@pytest.mark.parametrize(
    ("error", "caught"),
    [(KeyboardInterrupt(), KeyboardInterrupt), (OSError(28, "No space left on device"), ExportError)],
)
@pytest.mark.parametrize("call", ["member", "fsync", "rename"])
def test_a_failure_while_the_file_is_written(call, error, caught, options, folders, monkeypatch):
    """Of the bundle itself, not of the proof's temporary one."""

    def fail_on_the_bundle(module, name, applies):
        original = getattr(module, name)

        def patched(*arguments, **keywords):
            if applies(*arguments):
                raise error
            return original(*arguments, **keywords)

        monkeypatch.setattr(module, name, patched)

    inside = str(folders[0])
    if call == "member":
        fail_on_the_bundle(
            zipfile.ZipFile,
            "writestr",
            lambda archive, entry, data: inside in str(archive.fp.name) and "apm2" in entry.filename,
        )
    elif call == "fsync":
        fail_on_the_bundle(
            os, "fsync", lambda number: inside in str(Path(f"/proc/self/fd/{number}").readlink())
        )
    else:
        fail_on_the_bundle(Path, "replace", lambda path, target: inside in str(path))
    with pytest.raises(caught):
        bundle_from_checkpoint(options)
    assert_untouched(folders)


def test_a_defect_keeps_its_traceback_and_leaves_nothing(options, folders, monkeypatch):
    monkeypatch.setattr(graph_sets, "check_graph", lambda model, tensors: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        bundle_from_checkpoint(options)
    assert_untouched(folders)


def test_a_graph_that_is_not_valid_leaves_nothing(options, folders, monkeypatch):
    from tdnet_export import graph_check

    monkeypatch.setattr(graph_check, "OPERATORS", graph_check.OPERATORS - {"Softmax"})
    with pytest.raises(ExportError, match=r"graph 'apm1' uses the operators Softmax"):
        bundle_from_checkpoint(options)
    assert_untouched(folders)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"size_hw": (30, 97)}, SizeError, "sides are 41 to 8192; .*nearest: 57x96"),
        ({"checkpoint": Path("absent.pth")}, CheckpointError, "No such file"),
        ({"names": Path("absent.txt")}, OptionError, "--names: No such file"),
        ({"frames": "absent.mp4"}, MediaError, "no such video file"),
    ],
    ids=["size", "checkpoint", "names", "frames"],
)
def test_bad_input_ends_before_anything_is_written(changes, error, message, options, folders):
    stages = set()
    with pytest.raises(error, match=message):
        bundle_from_checkpoint(
            dataclasses.replace(options, **changes),
            on_progress=lambda stage, done, total: stages.add(stage),
        )
    assert stages == {"load checkpoint"}
    assert_untouched(folders)


def test_calibration_that_never_ends_is_refused_before_the_proof_opens_it(options, folders, monkeypatch):
    from tdnet_export import footage, pipeline

    monkeypatch.setattr(pipeline, "int8_unavailable", lambda: None)
    monkeypatch.setattr(footage, "open_source", lambda *_, **__: pytest.fail("it was opened"))
    live = dataclasses.replace(options, precisions=("int8",), calibration="rtsp://robot/front")
    with pytest.raises(OptionError, match="--calibration needs a video"):
        bundle_from_checkpoint(live)
    assert_untouched(folders)


@pytest.fixture
def clip(tmp_path):
    """clip(count): a folder of pictures of the moving scene, of another size than the network's."""
    folder = tmp_path / "my drive"

    def make(count):
        folder.mkdir()
        for t in range(count):
            image = render(2 * t, height=90, width=120)
            cv2.imwrite(str(folder / f"{t}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        return str(folder)

    return make


def test_a_clip_that_is_too_short(clip, options, folders):
    with pytest.raises(OptionError, match=r"--frames has 7 frames; the proof needs 8 consecutive ones"):
        bundle_from_checkpoint(dataclasses.replace(options, frames=clip(7)))
    assert_untouched(folders)


def test_a_clip_is_decoded_once_and_no_further_than_needed(clip, options, monkeypatch):
    """Whatever the number of proofs: it may be an hour of video."""
    decoded = []
    read = images.read_image
    monkeypatch.setattr(images, "read_image", lambda path: decoded.append(path.name) or read(path))
    own = dataclasses.replace(options, frames=clip(10), precisions=("fp32", "fp16"))
    summary = bundle_from_checkpoint(own)
    assert {name: len(report.frames) for name, report in summary.reports.items()} == {"fp32": 8, "fp16": 8}
    opening, *frames = decoded  # the first, for the size
    assert (opening, frames) == ("0.png", [f"{t}.png" for t in range(8)])


def test_a_clip_of_ones_own(clip, options, tiny_bundle, monkeypatch):
    """The folder that one is in, whose name is not UTF-8."""
    frames = Path(clip(10))
    monkeypatch.chdir(frames.rename(frames.with_name("my drive caf\udce9")))
    own = dataclasses.replace(options, frames=".")
    summary = bundle_from_checkpoint(own)
    assert summary.reports["fp32"].footage == r"user's footage, my drive caf\udce9"
    assert len(summary.reports["fp32"].frames) == 8
    with Bundle.open(own.out) as bundle, Bundle.open(tiny_bundle("td2-fa18")) as other:
        assert bundle.manifest.parity["fp32"].footage == r"user's footage, my drive caf\udce9"
        rendered = msgspec.json.decode(other.read(REPORT), type=ParityReport)
        found = msgspec.json.decode(bundle.read(REPORT), type=ParityReport)
        assert found.frames != rendered.frames  # other frames, other rounding
        assert bundle.manifest.graphs == other.manifest.graphs


@pytest.mark.parametrize("name", ["td2-psp50", "td4-psp18", "td2-fa18", "psp101"])
def test_the_report_is_the_manifests_summary(name, tiny_bundle):
    with Bundle.open(tiny_bundle(name)) as bundle:
        summary = bundle.manifest.parity["fp32"]
        assert set(bundle.manifest.parity) == {"fp32"}
        assert summary.report == REPORT
        report = msgspec.json.decode(bundle.read(summary.report), type=ParityReport)
        assert report.schema_version == 4
        assert (len(report.frames), report.footage) == (summary.frames, summary.footage)
        assert report.label_agreement == summary.label_agreement
        assert report.worst_frame_agreement == summary.worst_frame_agreement
        assert report.logits_error == summary.logits_error
        assert report.memory_stride == bundle.manifest.state.stride
        assert report.bounds == BOUNDS["fp32"]
        assert summary.class_loss == 1 - report.worst_class.iou
        assert 0 < summary.logits_error < 2e-3


@pytest.mark.parametrize("name", ["td2-psp50", "td4-psp18", "td2-fa18", "psp101"])
def test_the_bundle_as_written_is_the_oracle(name, tiny_bundle, tiny_checkpoint):
    """The proof ran on graphs with more outputs; these are the ones that are deployed."""
    network = load_checkpoint(tiny_checkpoint(name), size=(49, 65) if name == "psp101" else None)
    oracle = ReferenceStream(network)
    height, width = network.spec.input_size
    with Segmenter.open(tiny_bundle(name)) as segmenter, segmenter.stream() as stream:
        for t in range(40, 40 + 2 * len(segmenter.manifest.paths) + 1):
            frame = render(t, height=height, width=width)
            found, expected = stream.push(frame).labels, oracle.push(frame).argmax(0).numpy()
            assert (found == expected).mean() >= 0.999


@pytest.mark.parametrize("name", ["td4-psp18", "td2-fa18", "psp101"])
def test_both_precisions_are_written_and_proven(name, tiny_checkpoint, tmp_path):
    size = (49, 65) if name == "psp101" else None
    options = ExportOptions(
        checkpoint=tiny_checkpoint(name), out=tmp_path / "a.plan", size_hw=size, precisions=("fp16", "fp32")
    )
    seen = []
    summary = bundle_from_checkpoint(options, on_progress=lambda stage, *_: seen.append(stage))
    manifest = summary.manifest
    assert manifest.precisions == ("fp32", "fp16")
    assert list(summary.reports) == list(manifest.parity) == ["fp32", "fp16"]
    assert {"convert to FP16", "prove FP32, FP16"} <= set(seen)
    half = summary.reports["fp16"]
    assert "rounded to FP16" in half.engine
    assert half.bounds == BOUNDS["fp16"]
    assert half.logits_error > summary.reports["fp32"].logits_error
    assert [path.path for path in half.paths] == [path.index for path in manifest.paths]
    assert len(half.classes) == len(manifest.classes)
    sizes = {
        precision: sum(manifest.members[graph.members[precision]].size for graph in manifest.graphs)
        for precision in manifest.precisions
    }
    assert sizes["fp16"] < 0.75 * sizes["fp32"]
    assert manifest.at("fp16").state.nbytes * 2 == manifest.state.nbytes
    with Bundle.open(options.out) as bundle:
        report = msgspec.json.decode(bundle.read("reports/parity-fp16.json"), type=ParityReport)
        assert report == half


def test_fp16_runs_on_the_cpu_when_it_is_asked_for(tiny_checkpoint, tmp_path):
    out = tmp_path / "a.plan"
    both = ("fp32", "fp16")
    bundle_from_checkpoint(
        ExportOptions(checkpoint=tiny_checkpoint("td4-psp18"), out=out, precisions=both, logits=True)
    )
    labels = {}
    for asked, expected in ((None, "fp32"), ("fp32", "fp32"), ("fp16", "fp16")):
        with Segmenter.open(out, precision=asked) as segmenter, segmenter.stream() as stream:
            height, width = segmenter.manifest.input.height, segmenter.manifest.input.width
            assert segmenter.backend.precision == expected
            results = [stream.push(render(t, height=height, width=width)) for t in range(6)]
            assert stream.tensor("slot1_v").dtype == ("float16" if asked == "fp16" else "float32")
            labels[asked] = np.stack([result.labels for result in results])
    assert (labels[None] == labels["fp32"]).all()
    assert (labels["fp16"] == labels["fp32"]).mean() > 0.98


def test_int8_is_calibrated_gated_and_run(tiny_checkpoint, tmp_path, clip, monkeypatch):
    """Weights that were never trained lose more than the bounds allow; what the user allows is in the report."""
    pytest.importorskip("nncf")
    quantised, found = pipeline.quantised_graphs, []

    def once(*given, **options):  # the same graphs for both bounds: NNCF takes seconds
        found.append(found[0] if found else quantised(*given, **options))
        return copy.deepcopy(found[-1])

    monkeypatch.setattr(pipeline, "quantised_graphs", once)
    options = ExportOptions(
        checkpoint=tiny_checkpoint("td2-fa18"),
        out=tmp_path / "a.plan",
        precisions=("fp32", "int8"),
        size_hw=(61, 93),  # neither 8k+1 nor 8k
        calibration=clip(10),
        max_loss=0.6,
    )
    summary = bundle_from_checkpoint(options)
    assert summary.manifest.precisions == ("fp32", "int8")
    assert "reports/int8.json" in summary.manifest.members
    report = summary.reports["int8"]
    assert report.bounds.min_mean_agreement == pytest.approx(0.4)
    # One loop, in which the oracle runs once: all precisions are proven on what INT8 was calibrated for.
    assert report.footage == summary.reports["fp32"].footage == "user's footage, my drive"
    with Segmenter.open(options.out, precision="int8") as segmenter, segmenter.stream() as stream:
        shape = segmenter.manifest.input
        assert segmenter.backend.precision == "int8"
        assert stream.push(render(0, height=shape.height, width=shape.width)).path == 1
    strict = dataclasses.replace(options, out=tmp_path / "b.plan", max_loss=1e-9)
    with pytest.raises(ParityError, match=r"INT8 loses more than its bound on these frames"):
        bundle_from_checkpoint(strict)
    assert not (tmp_path / "b.plan").exists()
    assert len(found) == 2


@BUILDS
def test_int8_for_engines_is_a_precision_of_its_own(tiny_checkpoint, tmp_path, clip, monkeypatch):
    """`int8` with a backend makes both kinds of graphs; the engines are of those that TensorRT reads rightly."""
    pytest.importorskip("nncf")
    # Networks a few channels wide suffer more, signed steps more than unsigned ones.
    monkeypatch.setattr(pipeline, "quantised_graphs", partial(pipeline.quantised_graphs, max_error=0.3))
    options = ExportOptions(
        checkpoint=tiny_checkpoint("td2-fa18"),
        out=tmp_path / "a.plan",
        precisions=("fp32", "int8"),
        backends=("tensorrt-rtx",),
        calibration=clip(10),
        max_loss=0.6,
    )
    summary = bundle_from_checkpoint(options)
    assert summary.manifest.precisions == ("fp32", "int8", "int8_fp16")
    assert list(summary.reports) == ["fp32", "int8", "int8_fp16"]
    assert {"reports/int8.json", "reports/int8_fp16.json"} <= set(summary.manifest.members)
    report = summary.reports["int8_fp16"]
    assert "every FP16 result rounded" in report.engine
    assert report.bounds == summary.reports["int8"].bounds
    assert [spec.precision for spec in summary.manifest.engines] == ["fp32", "int8_fp16"]
    assert summary.manifest.at("int8_fp16").state.entry[0].dtype == "float16"
    with Bundle.open(options.out) as bundle:
        for graph in bundle.manifest.graphs:
            check_signed(onnx.load_model_from_string(bundle.read(graph.members["int8_fp16"])))
            with pytest.raises(ExportError, match=r"no INT8 zero point of 0|no positive FP16 scale"):
                check_signed(onnx.load_model_from_string(bundle.read(graph.members["int8"])))
    with Segmenter.open(options.out) as segmenter:
        assert segmenter.backend.precision == "fp32"  # never unasked
    values = {}
    for precision in ("int8", "int8_fp16"):
        with (
            Segmenter.open(options.out, backend="onnxruntime", precision=precision) as segmenter,
            segmenter.stream() as stream,
        ):
            assert segmenter.backend.precision == precision
            shape = segmenter.manifest.input
            stream.push(render(0, height=shape.height, width=shape.width))
            values[precision] = stream.tensor("value").astype(np.float32)
    off = (
        np.linalg.norm(values["int8_fp16"] - values["int8"])
        / values["int8"].std()
        / values["int8"].size ** 0.5
    )
    assert off < 0.2
    assert re.search(
        r"4 in INT8_FP16, .* INT8 in \d+ to \d+ % and half precision in at least", shown(summary)
    )
    graphs = tuple(
        msgspec.structs.replace(graph, members={p: m for p, m in graph.members.items() if p != "fp32"})
        for graph in summary.manifest.graphs
    )
    alone = msgspec.structs.replace(summary.manifest, graphs=graphs, engines=summary.manifest.engines[1:])
    assert shown(dataclasses.replace(summary, manifest=alone)).endswith(" out.mp4 --precision int8")
    with pytest.raises(BackendError, match=r"wrongly, and int8_fp16 ones are made for TensorRT"):
        Segmenter.open(options.out, backend="openvino", precision="int8_fp16")
    again = rebuild(options.out, backends=["tensorrt-rtx"], precisions=["int8"])
    assert [spec.precision for spec in again.built] == ["int8_fp16"]
    assert again.built[0].key == summary.manifest.engines[1].key


def test_int8_without_its_tools(tiny_checkpoint, tmp_path, clip, monkeypatch):
    """Told at once, not after the proof of what else was asked."""
    monkeypatch.setattr(pipeline, "int8_unavailable", lambda: "NNCF is not installed; install it with: pip")
    options = ExportOptions(
        checkpoint=tiny_checkpoint("td2-fa18"),
        out=tmp_path / "a.plan",
        precisions=("int8",),
        calibration=clip(10),
    )
    with pytest.raises(MissingExtraError, match=r"^NNCF is not installed"):
        bundle_from_checkpoint(options)


def test_fp16_alone(tiny_checkpoint, tmp_path):
    out = tmp_path / "a.plan"
    options = ExportOptions(checkpoint=tiny_checkpoint("td2-fa18"), out=out, precisions=("fp16",))
    summary = bundle_from_checkpoint(options)
    assert summary.manifest.precisions == ("fp16",)
    assert list(summary.reports) == ["fp16"]
    assert [name for name in summary.manifest.members if "fp32" in name] == []
    with pytest.raises(BackendError, match=r"it runs fp32 graphs, '.*a\.plan' has only fp16"):
        Segmenter.open(out)
    with Segmenter.open(out, precision="fp16") as segmenter, segmenter.stream() as stream:
        shape = segmenter.manifest.input
        assert stream.push(render(0, height=shape.height, width=shape.width)).path == 1


def test_fp16_that_is_too_coarse_is_refused(tiny_checkpoint, folders, monkeypatch):
    """As if sums over all positions were rounded: nothing is written, and FP32 is the advice."""
    out, _ = folders
    fine = proof.rounding_model

    def coarse(model):
        twin = fine(model)
        for tensor in twin.graph.initializer:
            if tensor.name.endswith("phi"):
                values = numpy_helper.to_array(tensor)
                tensor.CopyFrom(numpy_helper.from_array(values * np.float32(0.5), tensor.name))
        return twin

    monkeypatch.setattr(proof, "rounding_model", coarse)
    options = ExportOptions(
        checkpoint=tiny_checkpoint("td4-psp18"), out=out / "net.plan", precisions=("fp32", "fp16")
    )
    with pytest.raises(ParityError, match=r"'recomposed'.*FP16 is not exact enough .*--precision fp32"):
        bundle_from_checkpoint(options)
    assert_untouched(folders)


def test_the_default_name_is_the_networks(tiny_checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    summary = bundle_from_checkpoint(ExportOptions(checkpoint=tiny_checkpoint("td2-fa18")))
    assert summary.path == Path("td2-fa18.plan")
    assert [path.name for path in tmp_path.iterdir()] == ["td2-fa18.plan"]


def test_the_default_name_is_judged_like_a_given_one(tiny_checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "td2-fa18.plan").mkdir()
    with pytest.raises(OptionError, match="--out is a folder"):
        bundle_from_checkpoint(ExportOptions(checkpoint=tiny_checkpoint("td2-fa18")))


def test_another_size_and_stride_are_marked_and_proven(tiny_checkpoint, tmp_path):
    options = ExportOptions(
        checkpoint=tiny_checkpoint("td4-psp18"), out=tmp_path / "a.plan", size_hw=(49, 105), memory_stride=3
    )
    summary = bundle_from_checkpoint(options)
    manifest = summary.manifest
    assert manifest.size_resampled
    assert (manifest.input.height, manifest.input.width, manifest.feature_size) == (49, 105, (7, 14))
    assert (manifest.state.stride, summary.reports["fp32"].memory_stride) == (3, 3)
    assert {spec.shape[1] for spec in manifest.state.entry} == {3 * 5}
    assert max(frame.errors["logits"] for frame in summary.reports["fp32"].frames) < 2e-3
    note = shown(summary)
    assert "APPROXIMATE: the LayerNorm maps were resampled from the checkpoint's 9x13;" in note
    assert "Exact are heights 65 to 72 and widths 97 to 104." in note
    assert "assumed" not in note


def shown(summary):
    """The summary on a wide terminal, in one line."""
    text = io.StringIO()
    show_summary(summary, Console(file=text, width=500))
    return " ".join(text.getvalue().split())


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("td4-psp18", (68, 101)),
        ("td4-psp18", (72, 104)),
        ("td2-psp50", (51, 66)),
        ("td2-fa18", (57, 89)),
        ("td2-fa18", (63, 91)),
        ("psp101", (50, 71)),
        ("psp101", (48, 41)),
    ],
    ids=str,
)
def test_every_size_that_the_maps_fit_is_exact(name, size, tiny_checkpoint, tmp_path):
    """Named by the user, proven in both precisions, and nothing is called an approximation or assumed."""
    options = ExportOptions(
        checkpoint=tiny_checkpoint(name), out=tmp_path / "a.plan", size_hw=size, precisions=("fp32", "fp16")
    )
    summary = bundle_from_checkpoint(options)
    manifest = summary.manifest
    assert (manifest.input.height, manifest.input.width, manifest.input.size_from) == (*size, "user")
    assert manifest.feature_size == (-(-size[0] // 8), -(-size[1] // 8))
    assert not manifest.size_resampled
    assert summary.reports["fp32"].logits_error < 2e-3
    assert not re.search("APPROXIMATE|assumed", shown(summary))
    with Segmenter.open(options.out) as segmenter, segmenter.stream() as stream:
        assert stream.push(render(0, height=size[0], width=size[1])).labels.shape == size


@pytest.mark.parametrize(
    ("name", "size", "heights", "widths"),
    [
        ("td4-psp18", (65, 97), "65 to 72", "97 to 104"),
        ("td2-psp50", (49, 65), "49 to 56", "65 to 72"),
        ("td2-fa18", (64, 96), "57 to 64", "89 to 96"),
    ],
)
def test_a_size_that_nobody_named_is_told_as_a_guess(name, size, heights, widths, tiny_checkpoint, tmp_path):
    summary = bundle_from_checkpoint(ExportOptions(checkpoint=tiny_checkpoint(name), out=tmp_path / "a.plan"))
    given = summary.manifest.input
    assert (given.height, given.width, given.size_from) == (*size, "assumed")
    assert (
        f"{size[0]}x{size[1]}, memory stride {summary.manifest.state.stride} "
        f"assumed: heights {heights} and widths {widths} fit the checkpoint alike; where it was trained at another, "
        "name that one: --size HxW"
    ) in shown(summary)


def test_names_and_classes_are_in_the_bundle(tiny_checkpoint, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("road 1 2 3\nsky\ncar\nman\ndog\n")
    options = ExportOptions(
        checkpoint=tiny_checkpoint("psp101"), out=tmp_path / "a.plan", size_hw=(49, 65), names=names
    )
    manifest = bundle_from_checkpoint(options).manifest
    assert [spec.name for spec in manifest.classes] == ["road", "sky", "car", "man", "dog"]
    assert manifest.classes[0].color == (1, 2, 3)
    assert not manifest.size_resampled


def test_too_many_classes_for_8_bit_labels(tiny_checkpoint, tmp_path):
    state = torch.load(tiny_checkpoint("psp101"), weights_only=True)
    state["head.conv5.5.weight"] = torch.zeros(300, 8, 1, 1)
    state["head.conv5.5.bias"] = torch.zeros(300)
    torch.save(state, tmp_path / "many.pth")
    options = ExportOptions(checkpoint=tmp_path / "many.pth", out=tmp_path / "a.plan", size_hw=(49, 65))
    with pytest.raises(CheckpointError, match="has 300 classes; labels are 8-bit"):
        bundle_from_checkpoint(options)
    assert not (tmp_path / "a.plan").exists()


def test_a_weight_switched_off_by_an_infinite_variance(tiny_checkpoint, tmp_path):
    state = torch.load(tiny_checkpoint("td2-fa18"), weights_only=True)
    state["pretrained1.bn1.running_var"][3] = torch.inf
    torch.save(state, tmp_path / "half.pth")
    options = ExportOptions(checkpoint=tmp_path / "half.pth", out=tmp_path / "a.plan")
    report = bundle_from_checkpoint(options).reports["fp32"]
    assert np.isfinite([error for frame in report.frames for error in frame.errors.values()]).all()


def test_a_memory_stride_for_a_network_without_memory_is_refused(tiny_checkpoint, tmp_path):
    options = ExportOptions(
        checkpoint=tiny_checkpoint("psp101"), out=tmp_path / "a.plan", size_hw=(49, 65), memory_stride=3
    )
    with pytest.raises(OptionError, match=r"--memory-stride goes with networks that remember frames.*psp101"):
        bundle_from_checkpoint(options)


def test_a_temporary_folder_that_cannot_be_made(options, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    with pytest.raises(
        ExportError, match=r"^exporting failed: No such file or directory; .* set TMPDIR to one that has it"
    ):
        bundle_from_checkpoint(options)


def test_a_checkpoint_that_is_replaced_while_it_is_read(options, folders, monkeypatch, tmp_path):
    """As a training does: the digest in the bundle would be of another network."""
    path = tmp_path / "best.pth"
    path.write_bytes(options.checkpoint.read_bytes())
    load = pipeline.load_checkpoint

    def replaced(*given, **more):
        network = load(*given, **more)
        path.write_bytes(path.read_bytes() + b"more")
        return network

    monkeypatch.setattr(pipeline, "load_checkpoint", replaced)
    with pytest.raises(
        CheckpointError, match=r"best\.pth' was replaced while it was read, by .*; export a copy of it$"
    ):
        bundle_from_checkpoint(dataclasses.replace(options, checkpoint=path))
    assert_untouched(folders)


def test_a_checkpoint_is_read_for_its_digest_once(options, monkeypatch):
    digests = []
    digest = pipeline.checkpoint_sha256
    monkeypatch.setattr(pipeline, "checkpoint_sha256", lambda path: digests.append(path) or digest(path))
    assert pipeline._loaded(options)[1] == digest(options.checkpoint)
    assert digests == [options.checkpoint]


@pytest.mark.parametrize("precision", ["fp16", "int8_fp16"])
def test_a_network_that_is_not_worth_fp16_is_refused_before_its_graphs(
    tiny_checkpoint, tmp_path, clip, monkeypatch, precision
):
    """td2-fa50 at its published widths has 88.6 %; the tiny one has more than is expected."""
    monkeypatch.setattr(graph_sets, "MIN_HALF_SHARE", 0.9999)
    monkeypatch.setattr(pipeline, "write_graphs", None)
    monkeypatch.setattr(pipeline, "int8_unavailable", lambda: None)
    options = ExportOptions(
        checkpoint=tiny_checkpoint("td2-fa50"),
        out=tmp_path / "a.plan",
        precisions=("fp32", precision),
        calibration=clip(10) if precision == "int8_fp16" else None,
    )
    with pytest.raises(
        ExportError,
        match=r"^td2-fa50 is not worth FP16: \d\d\.\d% of .* 'subnet1' .*--precision fp32, with --backend too$",
    ):
        bundle_from_checkpoint(options)
