"""Errors of outputs, and the parts of a graph that are left in FP32."""

import numpy as np
import pytest

from tdnet_export.int8.quantisers import quantised_inputs
from tdnet_export.int8.samples import Sample
from tdnet_export.int8.sensitivity import fit, group_of, output_errors
from tdnet_runtime.media.scene import render

GOOD, BAD = "trunk/layer1/0/conv2/conv", "trunk/layer2/0/conv2/conv"


@pytest.mark.parametrize(
    ("node", "group"),
    [
        ("trunk/layer3/1/conv2/conv", "trunk/layer3/1"),
        ("trunk/layer4/0/add", "trunk/layer4/0"),
        ("trunk/stem/conv", "trunk/stem"),
        ("trunk/maxpool", "trunk/maxpool"),
        ("neck/ffm_16/value/conv", "neck/ffm_16"),
        ("encode/memory/key0/fine/conv", "encode/memory"),
        ("head/conv/conv", "head/conv"),
        ("recomposed", "recomposed"),
    ],
)
def test_groups(node, group):
    assert group_of(node) == group


def test_errors_of_a_hand_computed_case():
    """Spread 4·1² about the mean 2 and one Δ of 1: √(1/4); integers are left out."""
    expected = [{"v": np.float32([1, 3, 1, 3]), "labels": np.uint8([1])}]
    assert output_errors([{"v": np.float32([1, 3, 1, 4]), "labels": np.uint8([9])}], expected) == {"v": 0.5}
    assert output_errors(expected, expected) == {"v": 0.0}
    assert output_errors([{"v": np.float32([1, np.nan, 1, 3])}], expected) == {"v": float("inf")}


def test_errors_over_all_samples():
    expected = [{"v": np.float32([0, 2])}, {"v": np.float32([0, 6])}]
    found = [{"v": np.float32([1, 2])}, {"v": np.float32([0, 9])}]
    assert output_errors(found, expected)["v"] == pytest.approx(np.sqrt((1 + 9) / (2 + 18)))


@pytest.fixture
def original(tiny_graphs):
    return tiny_graphs("td4-psp18")[0]["subnet1"]


@pytest.fixture
def samples(tiny_graphs, tmp_path):
    height, width = (tiny_graphs("td4-psp18")[2].input.height, tiny_graphs("td4-psp18")[2].input.width)
    np.save(tmp_path / "image.npy", render(3, height=height, width=width)[None])
    return [Sample({"image": str(tmp_path / "image.npy")}, {})]


def test_a_good_graph_is_left_alone(original, quantised_by_hand, samples):
    model = quantised_by_hand(original, {GOOD: 0.01})
    found = fit(model, original, samples, max_error=0.1)
    assert found.model is model
    assert (found.groups, found.left_single) == ({}, ())
    assert 0 < max(found.errors.values()) <= 0.1


def test_the_worst_group_is_left_in_fp32(original, quantised_by_hand, samples):
    """Steps as large as the values themselves spoil one group; the other stays INT8."""
    model = quantised_by_hand(original, {GOOD: 0.01, BAD: 1000.0})
    found = fit(model, original, samples, max_error=0.1)
    assert found.left_single == ("trunk/layer2/0",)
    assert found.groups["trunk/layer2/0"] > 0.1 > found.groups["trunk/layer1/0"] > 0
    assert 0 < max(found.errors.values()) <= 0.1
    assert {pair.source for pair in quantised_inputs(found.model.graph).values() if pair.constant} == {
        f"{GOOD}/w/steps"
    }


def test_a_group_alone_is_measured_as_in_the_whole_graph(original, quantised_by_hand, samples):
    model = quantised_by_hand(original, {GOOD: 0.01, BAD: 1000.0})
    found = fit(model, original, samples, max_error=0.1)
    for node in (GOOD, BAD):
        alone = fit(
            quantised_by_hand(original, {node: {GOOD: 0.01, BAD: 1000.0}[node]}),
            original,
            samples,
            max_error=1e9,
        )
        assert found.groups[group_of(node)] == pytest.approx(max(alone.errors.values()), rel=1e-3)


def test_results_that_were_kept_are_what_is_compared_with(original, quantised_by_hand, samples, tmp_path):
    """Wrong ones show that FP32 did not run again."""
    kept = {}
    for value in original.graph.output:
        shape = [side.dim_value for side in value.type.tensor_type.shape.dim]
        kept[value.name] = str(tmp_path / f"{value.name}.npy")
        np.save(kept[value.name], np.random.default_rng(0).normal(1e6, 1.0, shape).astype(np.float32))
    model = quantised_by_hand(original, {GOOD: 0.01})
    found = fit(model, original, [Sample(samples[0].inputs, kept)], max_error=1e9)
    assert min(found.errors.values()) > 1e5


def test_what_cannot_be_held_leaves_nothing(original, quantised_by_hand, samples):
    model = quantised_by_hand(original, {GOOD: 1000.0, BAD: 1000.0})
    found = fit(model, original, samples, max_error=1e-9)
    assert set(found.left_single) == {"trunk/layer1/0", "trunk/layer2/0"}
    assert max(found.errors.values()) == 0
    assert not quantised_inputs(found.model.graph)
