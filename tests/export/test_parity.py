"""The figures of the closed-loop proof: what is compared, and when it counts as different."""

import dataclasses

import msgspec
import numpy as np
import pytest

from tdnet_export.options import ExportOptions
from tdnet_export.parity import Case, prove_parity, verdict_of
from tdnet_export.parity_checks import required_frames, tensor_error
from tdnet_export.parity_report import (
    BOUNDS,
    FrameParity,
    ParityReport,
    class_parity,
    path_parity,
)
from tdnet_export.pipeline import bundle_from_checkpoint
from tdnet_models import load_checkpoint
from tdnet_runtime.errors import ParityError
from tdnet_runtime.media.scene import render
from tdnet_runtime.memory import StreamMemory


@pytest.mark.parametrize(("paths", "frames"), [(1, 5), (2, 8), (4, 14)])
def test_every_path_runs_three_times_and_the_first_once_more(paths, frames):
    assert required_frames(paths) == frames


def test_bounds_are_those_of_the_specification():
    assert (BOUNDS["fp32"].min_label_agreement, BOUNDS["fp32"].max_error) == (0.999, 2e-3)
    half = BOUNDS["fp16"]
    assert (half.min_mean_agreement, half.min_label_agreement, half.max_class_loss) == (0.98, 0.96, 0.06)


def test_error_is_the_worst_difference_over_the_spread():
    expected = np.array([[0.0, 2.0, 4.0, 6.0]], dtype=np.float32)
    found = np.array([[0.0, 2.0, 4.5, 6.25]], dtype=np.float32)
    assert tensor_error(found, expected) == pytest.approx(0.5 / expected.std())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_holds_no_bound(value):
    ones = np.array([1.0, 2.0, 3.0], dtype=np.float32)
    found = np.array([1.0, value, 3.0], dtype=np.float32)
    assert tensor_error(found, ones) == np.inf
    assert tensor_error(ones, found) == np.inf


def test_a_constant_tensor_must_be_met_exactly():
    assert tensor_error(np.full(3, 2.0, np.float32), np.full(3, 2.0, np.float32)) == 0.0
    assert tensor_error(np.full(3, 2.1, np.float32), np.full(3, 2.0, np.float32)) == np.inf


def test_large_values_do_not_hide_an_error():
    """Their float32 variance overflows."""
    expected = np.array([1e20, -1e20, 3e20], dtype=np.float32)
    found = expected * np.float32(1.5)
    assert tensor_error(found, expected) == pytest.approx(1.5e20 / expected.std(dtype=np.float64))


def figures(labels=1.0, **errors):
    return FrameParity(frame=5, path=2, cold=False, label_agreement=labels, errors=errors)


def test_what_holds_the_bounds_passes():
    verdict_of("fp32", BOUNDS["fp32"]).require_frame(figures(labels=0.999, query=2e-3, logits=1.9e-3))


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (
            figures(query=1e-6, slot1_k=2.1e-3, logits=1.0),
            r"frame 5 \(path 2, warm\) .*'slot1_k': .*2\.10e-03, the",
        ),
        (figures(query=1e-6, logits=float("inf")), r"'logits': max \|Δ\|/std is inf"),
        (figures(query=float("nan")), r"'query': max \|Δ\|/std is nan"),
        (
            figures(labels=0.99899, query=0.0),
            r"frame 5 .* labels differ: 99\.8990% agree, the bound is 99\.9%",
        ),
    ],
)
def test_what_does_not_is_named_first_tensor_first(frame, message):
    with pytest.raises(ParityError, match=message):
        verdict_of("fp32", BOUNDS["fp32"]).require_frame(frame)


def report(labels, confusion, precision="fp16"):
    """A report of frames with these label agreements, on paths in turn, m = 2."""
    frames = tuple(
        FrameParity(frame=i, path=i % 2 + 1, cold=i < 1, label_agreement=share, errors={"logits": 0.5})
        for i, share in enumerate(labels)
    )
    return ParityReport(
        schema_version=4,
        precision=precision,
        engine="none",
        footage="none",
        memory_stride=3,
        bounds=BOUNDS[precision],
        frames=frames,
        paths=path_parity(frames),
        classes=class_parity(np.array(confusion)),
    )


def test_figures_of_paths_and_classes():
    """Three classes: the first is found in 6 of 8 places, the second in all but one wrong, the third is rare."""
    found = report([1.0, 0.9, 0.8], [[6, 2, 0], [0, 991, 0], [1, 0, 0]])
    assert [(p.path, p.frames, p.label_agreement, p.worst_frame_agreement) for p in found.paths] == [
        (1, 2, pytest.approx(0.9), 0.8),
        (2, 1, 0.9, 0.9),
    ]
    assert [c.share for c in found.classes] == [0.008, 0.991, 0.001]
    assert [c.iou for c in found.classes] == [6 / 9, 991 / 993, 0.0]
    assert found.worst_class.index == 1  # the others have less than 1 % of the pixels
    assert class_parity(np.array([[5, 0], [0, 0]]))[1].iou == 1.0  # neither side has it


def test_where_no_class_has_1_percent_the_largest_is_the_worst_one():
    """As from 101 classes on, for instance on noise."""
    confusion = np.full((150, 150), 0) + np.diag([9] * 150)
    confusion[7, 7], confusion[7, 8] = 8, 4
    found = report([0.99, 0.99], confusion)
    assert max(c.share for c in found.classes) < 0.01
    assert (found.worst_class.index, found.worst_class.iou) == (7, 8 / 12)
    assert found.dominant_class is None


@pytest.mark.parametrize(
    ("labels", "confusion", "message"),
    [
        (
            [0.97, 0.98],
            [[1, 0], [0, 1]],
            r"over all 2 frames 97\.5000% of the labels agree, the bound is 98\.0%",
        ),
        ([1.0, 1.0], [[92, 8], [0, 900]], r"class 0 has an IoU of 0\.9200 with .*, the bound is 0\.94"),
    ],
)
def test_all_frames_together_hold_bounds_too(labels, confusion, message):
    with pytest.raises(ParityError, match=message + r".*export with --precision fp32"):
        verdict_of("fp16", BOUNDS["fp16"]).require_all(report(labels, confusion))
    verdict_of("fp16", BOUNDS["fp16"]).require_all(report([0.98, 0.98], [[95, 5], [0, 900]]))


def names_of_slots(leaves, paths):
    return [f"slot{path}_{leaf}" for path in paths for leaf in leaves]


@pytest.mark.parametrize(
    ("name", "leaves"), [("td4-psp18", "kqv"), ("td2-fa18", "kv"), ("td2-psp50", "kv"), ("psp101", "")]
)
def test_every_tensor_of_every_frame_is_compared(name, leaves, tiny_checkpoint, tmp_path):
    """Each slot from the frame on that first fills it, in the order in which values come to be."""
    size = (49, 65) if name == "psp101" else None
    options = ExportOptions(checkpoint=tiny_checkpoint(name), out=tmp_path / "out.plan", size_hw=size)
    seen = []
    report = bundle_from_checkpoint(
        options, on_progress=lambda stage, done, total: seen.append((stage, done, total))
    ).reports["fp32"]
    paths = {"td4-psp18": 4, "psp101": 1}.get(name, 2)
    count = required_frames(paths)
    assert [frame.frame for frame in report.frames] == list(range(count))
    for index, frame in enumerate(report.frames):
        assert (frame.path, frame.cold) == (index % paths + 1, index < paths - 1)
        filled = range(1, min(index + 1, paths) + 1)
        slots = names_of_slots(leaves, filled)
        inner = ["query", "value", *slots, "recomposed"] if leaves else []
        assert list(frame.errors) == [*inner, "logits"]
    proof = [(done, total) for stage, done, total in seen if stage == "prove FP32"]
    assert proof == [(done, count) for done in range(count + 1)]
    assert report.logits_error == max(frame.errors["logits"] for frame in report.frames)
    assert report.worst_frame_agreement == min(frame.label_agreement for frame in report.frames)
    assert report.label_agreement == np.mean([frame.label_agreement for frame in report.frames])
    assert (report.precision, report.bounds, report.footage) == (
        "fp32",
        BOUNDS["fp32"],
        "rendered moving scene",
    )
    assert report.engine.startswith("ONNX Runtime ")


def test_both_orders_are_proven(tiny_checkpoint, tmp_path, monkeypatch):
    """Each path's warm frames with what was prepared, and without."""
    ran = []
    run = StreamMemory.run

    def note(self, path, *, cold, attention=True):
        ran.append((path, cold, self._prepared))
        run(self, path, cold=cold, attention=attention)

    monkeypatch.setattr(StreamMemory, "run", note)
    bundle_from_checkpoint(ExportOptions(checkpoint=tiny_checkpoint("td4-psp18"), out=tmp_path / "out.plan"))
    paths = range(1, 5)
    assert {each for each in ran if not each[1]} == {
        (path, False, done) for path in paths for done in (path, None)
    }
    assert all(done is None for _, cold, done in ran if cold)


def test_bounds_decide(tiny_checkpoint, tmp_path):
    """The same bundle that passes does not under a bound that floating point cannot hold."""
    checkpoint, out = tiny_checkpoint("psp101"), tmp_path / "out.plan"
    bundle_from_checkpoint(ExportOptions(checkpoint=checkpoint, out=out, size_hw=(49, 65), logits=True))
    network = load_checkpoint(checkpoint, size=(49, 65))
    frames = [render(t, height=49, width=65) for t in range(2)]
    done = []
    options = {"footage": "two", "memory_stride": 4, "on_frame": done.append}
    case = Case(precision="fp32", bundle=out)
    report = prove_parity([case], network, frames, **options)["fp32"]
    assert done == [1, 2]
    assert (report.footage, len(report.frames)) == ("two", 2)
    strict = msgspec.structs.replace(BOUNDS["fp32"], max_error=0.0)
    with pytest.raises(ParityError, match=r"frame 0 .*'logits'.*the bound is 0e\+00"):
        prove_parity([dataclasses.replace(case, bounds=strict)], network, frames, **options)
    assert len(done) == 2
