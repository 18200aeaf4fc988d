"""The figures of the closed-loop proof: what is compared, and when it counts as different."""

import numpy as np
import pytest
import torch

from tdnet_export.options import ExportOptions
from tdnet_export.parity import (
    FP32_BOUNDS,
    FrameParity,
    ParityBounds,
    _error,
    _require,
    prove_parity,
    required_frames,
)
from tdnet_export.pipeline import bundle_from_checkpoint
from tdnet_models import load_checkpoint
from tdnet_runtime.errors import ParityError
from tdnet_runtime.media.scene import render


@pytest.mark.parametrize(("paths", "frames"), [(1, 5), (2, 8), (4, 14)])
def test_every_path_runs_three_times_and_the_first_once_more(paths, frames):
    assert required_frames(paths) == frames


def test_bounds_are_those_of_the_specification():
    assert ParityBounds(min_label_agreement=0.999, max_error=2e-3) == FP32_BOUNDS


def test_error_is_the_worst_difference_over_the_spread():
    expected = torch.tensor([[0.0, 2.0, 4.0, 6.0]])
    found = np.array([0.0, 2.0, 4.5, 6.25], dtype=np.float32)
    assert _error(found, expected, 1.0) == pytest.approx(0.5 / expected.numpy().std())
    assert _error(found / 8, expected, 8.0) == pytest.approx(0.5 / expected.numpy().std())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_holds_no_bound(value):
    ones = torch.tensor([1.0, 2.0, 3.0])
    found = np.array([1.0, value, 3.0], dtype=np.float32)
    assert _error(found, ones, 1.0) == np.inf
    assert _error(ones.numpy(), torch.from_numpy(found), 1.0) == np.inf


def test_a_constant_tensor_must_be_met_exactly():
    assert _error(np.full(3, 2.0, np.float32), torch.full((3,), 2.0), 1.0) == 0.0
    assert _error(np.full(3, 2.1, np.float32), torch.full((3,), 2.0), 1.0) == np.inf


def test_large_values_do_not_hide_an_error():
    """Their float32 variance overflows."""
    expected = torch.tensor([1e20, -1e20, 3e20])
    found = expected.numpy() * np.float32(1.5)
    assert _error(found, expected, 1.0) == pytest.approx(1.5e20 / expected.double().std(correction=0).item())


def figures(labels=1.0, **errors):
    return FrameParity(frame=5, path=2, cold=False, label_agreement=labels, errors=errors)


def test_what_holds_the_bounds_passes():
    _require(figures(labels=0.999, query=2e-3, logits=1.9e-3), FP32_BOUNDS)


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
        _require(frame, FP32_BOUNDS)


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
    ).report
    paths = {"td4-psp18": 4, "psp101": 1}.get(name, 2)
    count = required_frames(paths)
    assert [frame.frame for frame in report.frames] == list(range(count))
    for index, frame in enumerate(report.frames):
        assert (frame.path, frame.cold) == (index % paths + 1, index < paths - 1)
        filled = range(1, min(index + 1, paths) + 1)
        slots = names_of_slots(leaves, filled)
        inner = ["query", "value", *slots, "recomposed"] if leaves else []
        assert list(frame.errors) == [*inner, "logits"]
    proof = [(done, total) for stage, done, total in seen if stage == "prove against PyTorch"]
    assert proof == [(done, count) for done in range(count + 1)]
    assert report.logits_error == max(frame.errors["logits"] for frame in report.frames)
    assert report.worst_frame_agreement == min(frame.label_agreement for frame in report.frames)
    assert report.label_agreement == np.mean([frame.label_agreement for frame in report.frames])
    assert (report.precision, report.bounds, report.footage) == ("fp32", FP32_BOUNDS, "rendered moving scene")
    assert report.engine.startswith("ONNX Runtime ")


def test_bounds_decide(tiny_checkpoint, tmp_path):
    """The same bundle that passes does not under a bound that floating point cannot hold."""
    checkpoint, out = tiny_checkpoint("psp101"), tmp_path / "out.plan"
    bundle_from_checkpoint(ExportOptions(checkpoint=checkpoint, out=out, size_hw=(49, 65), logits=True))
    network = load_checkpoint(checkpoint, size=(49, 65))
    frames = [render(t, height=49, width=65) for t in range(2)]
    done = []
    options = {"footage": "two", "memory_stride": 4, "on_frame": done.append}
    report = prove_parity(out, network, frames, **options)
    assert list(report.frames) == done
    assert (report.footage, len(done)) == ("two", 2)
    strict = ParityBounds(min_label_agreement=0.999, max_error=0.0)
    with pytest.raises(ParityError, match=r"frame 0 .*'logits'.*the bound is 0e\+00"):
        prove_parity(out, network, frames, bounds=strict, **options)
    assert len(done) == 2
