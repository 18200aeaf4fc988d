"""The soak, for a few hundred results: see `soak.py`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SOAK = Path(__file__).with_name("soak.py")


@pytest.mark.parametrize("backend", ["fake", "onnxruntime"])
def test_soak(tiny_bundle: Callable[[str], Path], tmp_path: Path, backend: str) -> None:
    if backend != "fake":
        pytest.importorskip(backend)
    out = tmp_path / "soak.json"
    words = [sys.executable, SOAK, tiny_bundle("td2-fa18"), out, "300", backend, "1"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    document = json.loads(out.read_text())
    assert (document["results"], document["labels_other_than_a_fresh_streams"]) == (300, 0)
    assert {"start", "restart", "begins"} <= set(document["cold_starts"])
    assert {"source_died", "frame_refused"} <= set(document["events"])
    assert document["growth"]["threads"] <= 1  # a thread may be about to end


def test_wrong_usage_is_told() -> None:
    done = subprocess.run([sys.executable, SOAK], capture_output=True, text=True)
    expected = "usage: python tests/runtime/live/soak.py X.plan OUT.json [RESULTS [BACKEND [SEED]]]\n"
    assert (done.returncode, done.stderr) == (1, expected)
