from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")

from tdnet_bench.roofline.costs import graph_cost  # after the skip
from tdnet_bench.roofline.probes import PROBES, Probe, copy_model, probe_model

CONV = Probe(name="conv", shape=(1, 8, 9, 11), kernel=3, dilation=2, depth=2)
PRODUCT = Probe(name="product", shape=(16, 8), depth=3)


@pytest.mark.parametrize("probe", [*PROBES, CONV, PRODUCT], ids=lambda probe: probe.name)
@pytest.mark.parametrize("quantised", [False, True])
def test_a_probe_computes_what_it_claims(probe: Probe, quantised: bool) -> None:
    cost = graph_cost(probe.name, probe_model(probe, quantised=quantised))
    assert cost.matrix_flops == {"int8" if quantised else "float32": probe.flops}


def test_a_copy_reads_and_writes_all() -> None:
    cost = graph_cost("copy", copy_model((64, 10)))
    assert (cost.flops, cost.compulsory_bytes) == (0, 2 * 640 * 4)


def test_probes_have_the_networks_own_shapes() -> None:
    assert {probe.kernel for probe in PROBES} == {1, 3}
    assert any(probe.kernel == 3 and probe.shape[2:] == (97, 193) for probe in PROBES)


@pytest.mark.parametrize("probe", [CONV, PRODUCT], ids=lambda probe: probe.name)
def test_quantised_probes_compute_about_the_same(probe: Probe) -> None:
    ort = pytest.importorskip("onnxruntime")
    x = np.random.default_rng(2).standard_normal(probe.shape, dtype=np.float32)
    if probe is CONV:
        x = np.abs(x)  # uint8 has no negative values
    exact, coarse = (
        ort.InferenceSession(probe_model(probe, quantised=q), providers=["CPUExecutionProvider"]).run(
            None, {"x": x}
        )[0]
        for q in (False, True)
    )
    assert exact.shape == x.shape
    assert 0.2 < exact.std() < 5  # neither vanishing nor exploding: no denormals are timed
    assert np.abs(coarse - exact).mean() < 0.1 * exact.std()


def test_onnxruntime_computes_every_quantised_layer_in_int8(tmp_path: Path) -> None:
    import onnx

    ort = pytest.importorskip("onnxruntime")
    for probe, integer in ((CONV, "QLinearConv"), (PRODUCT, "QLinearMatMul")):
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
        ort.InferenceSession(probe_model(probe, quantised=True), options, providers=["CPUExecutionProvider"])
        kinds = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
        assert kinds.count(integer) == probe.depth
        assert not {"Conv", "MatMul"} & set(kinds)
