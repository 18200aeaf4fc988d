"""The measured step: its public side is not at hand here, its own side is what the other tests cover."""

import subprocess
import sys
from pathlib import Path

import pytest

STEP = Path(__file__).with_name("public_step.py")


def test_the_training_step_asks_for_the_public_code() -> None:
    pytest.importorskip("torch")
    done = subprocess.run([sys.executable, STEP], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("usage: python tests/train/public_step.py TDNET")
