from __future__ import annotations

import pytest
from tests.benchmarks.fake_gpu import SPAN_NS, FakeGpu

from tdnet_bench.roofline.costs import bundle_costs
from tdnet_bench.roofline.gpu_limits import gpu_ceilings, path_costs
from tdnet_runtime import Bundle

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def _tf32():
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_tf32
    yield
    matmul.allow_tf32 = before


def test_the_best_product_counts_and_copies_move_each_byte_twice() -> None:
    found = gpu_ceilings(FakeGpu(), torch, device="cpu", products=[(4, 4, 4), (8, 4, 2)], copy_bytes=4096)
    for ceiling in found.compute:
        assert [probe.probe for probe in ceiling.probes] == ["torch.matmul 4×4×4", "torch.matmul 8×4×2"]
        assert ceiling.gflop_per_s == pytest.approx(2 * 64 / SPAN_NS)
    assert found.peak("torch", "fp16") == found.peak("torch", "fp32")
    assert found.bandwidth(1) == pytest.approx(4096 / SPAN_NS)


def test_a_path_costs_what_its_graphs_cost(tiny_bundle) -> None:
    with Bundle.open(tiny_bundle("td2-fa18")) as bundle:
        costs = bundle_costs(bundle, precision="fp32")
        first, second = path_costs(bundle.manifest, costs)
    by_graph = {cost.graph: cost for cost in costs}
    assert (first.graph, second.graph) == ("path 1", "path 2")
    assert first.flops == by_graph["subnet1"].flops + by_graph["apm1"].flops
    assert second.compulsory_bytes == by_graph["subnet2"].compulsory_bytes + by_graph["apm2"].compulsory_bytes
