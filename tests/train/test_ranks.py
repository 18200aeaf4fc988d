"""Two processes train what one trains."""

import os
import subprocess
import sys
from datetime import timedelta

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("kornia", reason="the extra `train` is not installed")

from tdnet_train.running.folder import RunFolder  # noqa: E402
from tdnet_train.running.ranks import joined_ranks  # noqa: E402


def launched(processes, config, out, batch, *fields):
    """Run `tdnet-train` below torchrun, as docs/training.md says it."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command += ["-m", "tdnet_train", "--config", str(config), "--out", str(out)]
    for field in (f"run.batch={batch}", "run.device=cpu", "run.log_steps=1", *fields):
        command += ["--set", field]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return RunFolder(out)


def test_ranks_wait_as_long_as_a_validation_takes(monkeypatch):
    """PyTorch's own patience is 10 minutes with GPUs, 30 without."""
    asked = {}
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda backend, **rest: asked.update(rest))
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: None)
    with joined_ranks("cpu") as ranks:
        assert ranks.size == 2
    assert asked["timeout"] >= timedelta(hours=24)


def test_two_ranks_are_one_process(config, trained, tmp_path):
    """Same clips, statistics over both, gradients averaged: what is left is the order of float32's sums.

    Without synced statistics the first loss differs by 4e-3. Dropout draws other numbers on each rank.
    """
    fields = (
        "network.attention_dropout=0.0",
        "network.size=[96, 128]",
        "stages.0.steps=2",
        "stages.1.steps=3",
        "stages.0.learning_rate=1e-3",
        "stages.1.learning_rate=1e-3",
        "loss.class_weights=[1.0, 2.0, 3.0]",
    )
    two = launched(2, config, tmp_path / "two", 2, *fields)
    one = trained(tmp_path / "one", *fields, "run.batch=4", "run.log_steps=1")
    curves = [[entry for entry in files.entries() if entry["kind"] == "steps"] for files in (one, two)]
    assert len(curves[0]) == len(curves[1]) == 5
    for step, (ours, theirs) in enumerate(zip(*curves, strict=True)):
        assert theirs["terms"] == pytest.approx(ours["terms"], rel=1e-5 if step == 0 else 1e-3)
    states = [torch.load(files.last, weights_only=True)["model_state"] for files in (one, two)]
    for key, value in states[0].items():
        statistic = "running" in key
        other = states[1][key].float()
        torch.testing.assert_close(other, value.float(), rtol=1e-2 * statistic, atol=5e-4, msg=key)
