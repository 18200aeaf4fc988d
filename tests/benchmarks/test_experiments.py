"""Scripts of a page still run."""

from __future__ import annotations

import json
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


def test_overhead_of_the_live_layer(tiny_bundle: Callable[[str], Path], tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    out = tmp_path / "overhead.json"
    words = [sys.executable, SCRIPTS / "live_overhead.py", tiny_bundle("td2-fa18"), out, "2"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    document = json.loads(out.read_text())
    assert {len(times.split()) for times in document["times_ms"].values()} == {24}
    for way in ("back to back", "single"):
        assert document["ways"][way]["p50"]["push_ms"] > 0
        assert document["ways"][way]["p99"]["live_ms"] > 0


def test_cost_of_confidence_and_of_attention(
    tiny_bundle: Callable[[str], Path], tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    from tdnet_export.options import ExportOptions
    from tdnet_export.pipeline import bundle_from_checkpoint

    sure, out = tmp_path / "sure.plan", tmp_path / "cost.json"
    checkpoint = tiny_checkpoint("td2-fa18")
    bundle_from_checkpoint(ExportOptions(checkpoint=checkpoint, out=sure, confidence=True, own_labels=True))
    for without, kind in ((tiny_bundle("td2-fa18"), "confidence_cost"), (sure, "attention_cost")):
        words = [sys.executable, SCRIPTS / "confidence_cost.py", without, sure, out, "2"]
        done = subprocess.run(words, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        document = json.loads(out.read_text())
        assert document["kind"] == kind
        assert {len(ms) for clocks in document["times"].values() for ms in clocks.values()} == {4}
        assert document["summary"]["wall_ms"]["median_with"] > 0


def test_a_paced_camera(tiny_bundle: Callable[[str], Path], tmp_path: Path) -> None:
    """Its exit code depends on how busy the machine is; what may not happen on any is looked at."""
    pytest.importorskip("onnxruntime")
    out = tmp_path / "paced.json"
    words = [sys.executable, SCRIPTS / "live_paced.py", tiny_bundle("td2-fa18"), out, "0.5", "400"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    document = json.loads(out.read_text())
    live, log = document["live"], document["log"]
    assert live["results"] + live["dropped"] in (
        199,
        200,
    )  # the last one may be dropped, with no result after it
    assert live["results"] <= live["frames"] == 200
    assert (log["results"], log["frames"], log["dropped"]) == (40, 40, 0)
    assert live["in_order"] is log["in_order"] is True


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("ort_settings.py", "X.plan [ROUNDS]"),
        ("confidence_cost.py", "WITHOUT.plan WITH.plan OUT.json [ROUNDS]"),
        ("live_overhead.py", "X.plan OUT.json [BLOCKS]"),
        ("live_paced.py", "X.plan OUT.json [SECONDS [HZ]]"),
    ],
)
def test_wrong_usage_is_told(name: str, arguments: str) -> None:
    done = subprocess.run([sys.executable, SCRIPTS / name], capture_output=True, text=True)
    expected = f"usage: python benchmarks/experiments/{name} {arguments}\n"
    assert (done.returncode, done.stderr) == (1, expected)
