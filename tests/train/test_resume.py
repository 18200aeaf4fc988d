"""A run that was cut off goes on as if nothing had happened."""

import pytest
import torch

TIMES = ("step_s", "memory_mib", "seconds")


def _curve(files):
    return [{k: v for k, v in entry.items() if k not in TIMES} for entry in files.entries()]


def _same(one, other):
    assert one.keys() == other.keys()
    for key, value in one.items():
        assert torch.equal(value, other[key]), key


@pytest.mark.parametrize("stop_at", [2, 3, 5])
def test_a_resumed_run_equals_an_uninterrupted_one(trained, tmp_path, stop_at):
    """In the first stage, at its end, and in the second; bit for bit, the averaged weights and all curves."""
    whole = trained(tmp_path / "whole")
    trained(tmp_path / "parts", stop_at=stop_at)
    parts = trained(tmp_path / "parts")
    assert _curve(whole) == _curve(parts)
    assert sum(entry["kind"] == "validation" for entry in whole.entries()) >= 2
    for name in ("best", "last"):
        one, other = (torch.load(getattr(files, name), weights_only=True) for files in (whole, parts))
        _same(one["model_state"], other["model_state"])
        assert one["best_iou"] == other["best_iou"]


def test_what_was_written_after_the_checkpoint_is_computed_again(trained, tmp_path):
    """A kill leaves lines of the journal that no checkpoint has; and perhaps half of one."""
    whole = trained(tmp_path / "whole")
    trained(tmp_path / "parts", stop_at=5)
    files = type(whole)(tmp_path / "parts")
    with files.journal.open("a") as file:
        file.write('{"kind": "steps", "step": 6, "loss": 1}\n{"kind": "ste')
    assert _curve(trained(tmp_path / "parts")) == _curve(whole)


def test_accumulation_goes_on_within_an_epoch(trained, tmp_path):
    options = ("run.accumulate=3", "stages.0.steps=2", "stages.1.steps=3")
    options += ("stages.1.warmup_steps=1",)
    whole = trained(tmp_path / "whole", *options)
    trained(tmp_path / "parts", *options, stop_at=4)
    assert _curve(trained(tmp_path / "parts", *options)) == _curve(whole)
