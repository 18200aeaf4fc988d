"""A run that was cut off goes on as if nothing had happened."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("kornia", reason="the extra `train` is not installed")

TIMES = ("step_s", "memory_mib", "seconds")


def curve(files):
    return [{k: v for k, v in entry.items() if k not in TIMES} for entry in files.entries()]


def test_a_resumed_run_equals_an_uninterrupted_one(trained, tmp_path):
    """Stopped at the end of a stage and within one: bit for bit, the averaged weights and all curves.

    A kill leaves lines of the journal that no checkpoint has, and perhaps half of one: they are computed again.
    """
    whole = trained(tmp_path / "whole")
    assert sum(entry["kind"] == "validation" for entry in whole.entries()) >= 2
    for stop_at in (3, 5):
        parts = trained(tmp_path / str(stop_at), stop_at=stop_at)
        with parts.journal.open("a") as file:
            file.write('{"kind": "steps", "step": 6, "loss": 1}\n{"kind": "ste')
        trained(tmp_path / str(stop_at))
        assert curve(parts) == curve(whole)
        for name in ("best", "last"):
            one, other = (torch.load(getattr(files, name), weights_only=True) for files in (whole, parts))
            assert one["best_iou"] == other["best_iou"]
            for key, value in one["model_state"].items():
                assert torch.equal(value, other["model_state"][key]), key


def test_accumulation_goes_on_within_an_epoch(trained, tmp_path):
    options = ("run.accumulate=3", "stages.0.steps=1", "stages.1.steps=2", "stages.1.warmup_steps=1")
    whole = trained(tmp_path / "whole", *options)
    trained(tmp_path / "parts", *options, stop_at=2)
    assert curve(trained(tmp_path / "parts", *options)) == curve(whole)
