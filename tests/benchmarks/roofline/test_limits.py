"""Rooflines of a run: which sides get one, and what is said of the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tdnet_bench.roofline import limits
from tdnet_bench.roofline.limits import measure_limits
from tdnet_bench.roofline.model import Ceilings, ComputeCeiling, CopyRate
from tdnet_bench.sides.bundle_side import BundleSide
from tdnet_runtime import Segmenter
from tdnet_runtime.errors import MissingExtraError
from tdnet_runtime.media.scene import render

CEILINGS = Ceilings(
    threads=1,
    compute=(ComputeCeiling(library="onnxruntime", precision="fp32", gflop_per_s=1e6, probes=()),),
    copies=(CopyRate(footprint_bytes=1 << 20, gb_per_s=1e6, method="numpy"),),
    notes=("a note",),
)


@pytest.fixture
def images(segmenter: Segmenter) -> list:
    size = segmenter.manifest.input
    return [render(t, height=size.height, width=size.width) for t in range(2)]


@pytest.fixture
def segmenter(tiny_bundle):
    with Segmenter.open(tiny_bundle("td2-fa18"), backend="onnxruntime", threads=1) as opened:
        yield opened


def test_each_graph_is_timed_and_held_against_the_machine(segmenter, images, monkeypatch) -> None:
    asked = []

    def measured(libraries, **options):
        asked.append((libraries, options))
        return CEILINGS

    monkeypatch.setattr(limits, "measure_ceilings", measured)
    found = measure_limits([BundleSide(segmenter), object()], images, threads=1, budget_s=0.5)
    assert asked == [(("onnxruntime",), {"threads": 1, "budget_s": 0.5})]
    (roofline,) = found.rooflines.values()
    assert list(found.rooflines) == ["onnxruntime:fp32"]
    assert [point.name for point in roofline.points] == [graph.name for graph in segmenter.manifest.graphs]
    assert all(0 < point.share < 1 and point.time_ms > 0 for point in roofline.points)
    assert (found.ceilings, found.notes) == (CEILINGS, ("a note",))


@pytest.mark.parametrize(
    ("precision", "graphs", "types"),
    [
        ("bf16", "fp32", {"float32": "bf16"}),
        ("int8", "int8", {"float32": "fp32", "int8": "int8"}),
        ("int8-bf16", "int8", {"float32": "bf16", "int8": "int8"}),
    ],
)
def test_what_a_side_in_another_precision_is_held_against(
    segmenter, images, monkeypatch, precision: str, graphs: str, types: dict[str, str]
) -> None:
    """The costs of the graphs that are run, and for each of their types the rate in which it is computed."""
    asked = {}
    monkeypatch.setattr(limits, "measure_ceilings", lambda *_, **__: CEILINGS)
    monkeypatch.setattr(limits, "bundle_costs", lambda bundle, *, precision: asked.update(graphs=precision))
    monkeypatch.setattr(limits, "roofline_from_costs", lambda *_, **given: asked.update(given))
    monkeypatch.setattr(segmenter.backend, "precision", precision)
    found = measure_limits([BundleSide(segmenter)], images, threads=1)
    assert list(found.rooflines) == [f"onnxruntime:{precision}"]
    assert (asked["graphs"], asked["precisions"]) == (graphs, types)


def test_other_engines_have_none_and_that_is_said(tiny_bundle: Path, images, monkeypatch) -> None:
    monkeypatch.setattr(limits, "measure_ceilings", lambda *_, **__: pytest.fail("nothing to measure it for"))
    with Segmenter.open(tiny_bundle("td2-fa18"), backend="fake") as segmenter:
        found = measure_limits([BundleSide(segmenter)], images, threads=1)
    assert (found.ceilings, found.rooflines) == (None, {})
    assert found.notes == (
        "fake:fp32 has no roofline: only engines that compute on the CPU are timed by graph",
    )


def test_a_missing_package_costs_the_roofline_alone(segmenter, images, monkeypatch) -> None:
    def missing(*_, **__):
        raise MissingExtraError("the package 'onnx' is not installed")

    monkeypatch.setattr(limits, "measure_ceilings", missing)
    found = measure_limits([BundleSide(segmenter)], images, threads=1)
    assert found.rooflines == {}
    assert found.notes == ("rooflines were left out: the package 'onnx' is not installed",)
