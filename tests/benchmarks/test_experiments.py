"""Scripts of a page still run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.benchmarks.published.tables import tables_of

SCRIPTS = Path(__file__).parents[2] / "benchmarks" / "experiments"


def test_settings_of_onnx_runtime(tiny_bundle: Callable[[str], Path]) -> None:
    pytest.importorskip("onnxruntime")
    words = [sys.executable, SCRIPTS / "ort_settings.py", tiny_bundle("td2-fa18"), "1"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (rows,) = tables_of(done.stdout)
    assert {row["graph"] for row in rows} == {"subnet1", "apm1"}
    assert [row["over base"] for row in rows if row["settings"] == "base"] == ["1.000", "1.000"]
    assert {"spinning", "no arena", "no prepacking"} < {row["settings"] for row in rows}
    assert all(float(row["ms"]) > 0 for row in rows)


def test_wrong_usage_is_told() -> None:
    done = subprocess.run([sys.executable, SCRIPTS / "ort_settings.py"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (
        1,
        "usage: python benchmarks/experiments/ort_settings.py X.plan [ROUNDS]\n",
    )


def test_the_training_step_asks_for_the_public_code() -> None:
    """Which is not at hand here; its own sides are what tests/train covers."""
    pytest.importorskip("torch")
    done = subprocess.run([sys.executable, SCRIPTS / "train_step.py"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("usage: python benchmarks/experiments/train_step.py TDNET")
