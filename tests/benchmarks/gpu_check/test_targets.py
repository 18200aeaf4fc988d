"""Met, not met, not measured."""

from __future__ import annotations

from typing import Any

import pytest

from tdnet_bench.gpu_check.records import EAGER_FP32, BundleFacts, Measurement, PartRun, Step
from tdnet_bench.gpu_check.roofline import COST_STEP, RATE_STEP, rate_of, shares
from tdnet_bench.gpu_check.targets import targets
from tdnet_bench.gpu_check.timing import timed
from tdnet_runtime.errors import BackendError


def facts(network: str = "td4-psp18", size_hw: tuple[int, int] = (769, 1537)) -> BundleFacts:
    return BundleFacts(
        file="x.plan",
        digest="ab",
        network=network,
        height=size_hw[0],
        width=size_hw[1],
        paths=4,
        classes=19,
        precisions=("fp16",),
        engines=(),
        checkpoint_sha256="cd",
        weights="synthetic",
    )


def measurement(
    side: str, ms: float, *, slow_ms: float | None = None, captured: bool | None = True, count: int = 200
) -> Measurement:
    times = [round(ms * 1e6)] * (count - 4) + [round((slow_ms or ms) * 1e6)] * 4
    return Measurement(
        side=side,
        precision="fp32" if side == EAGER_FP32 else "fp16",
        captured=captured,
        labels="device",
        clock="gpu compute",
        timed=timed([(1, took) for took in times], method="m"),
    )


def run(*measurements: Measurement, bundle: str | None = "x", value: Any = None, name: str = "s") -> PartRun:
    step = Step(name=name, ok=True, seconds=1, value=value, measurements=measurements)
    return PartRun(part="p", bundle=bundle, ended="done", seconds=1, limit_s=2, steps=(step,))


def verdicts(*runs: PartRun, network: str = "td4-psp18", side: str = "cuda") -> list[str]:
    return [row.verdict for row in targets(runs, {"x": facts(network)}) if row.side == side]


def test_all_met() -> None:
    rows = targets([run(measurement("cuda", 1.5)), run(measurement(EAGER_FP32, 4.5))], {"x": facts()})
    assert [(row.limit, row.value, row.verdict) for row in rows if row.side == "cuda"] == [
        (1.5, 1.5, "met"),
        (1.1, 1.0, "met"),
        (3.0, 3.0, "met"),
    ]
    assert {row.verdict for row in rows if row.side != "cuda"} == {"not measured"}


def test_none_met() -> None:
    ours = measurement("cuda", 1.51, slow_ms=1.8)
    assert verdicts(run(ours), run(measurement(EAGER_FP32, 4.5))) == ["not met"] * 3


def test_limits_are_the_networks_own() -> None:
    assert verdicts(run(measurement("cuda", 2.9)), network="td2-psp50")[0] == "met"
    assert verdicts(run(measurement("cuda", 2.9)))[0] == "not met"


def test_what_is_missing_is_not_measured() -> None:
    assert verdicts(run(measurement("cuda", 1.0))) == ["met", "met", "not measured"]
    assert verdicts(run(measurement("cuda", 1.0, count=50)))[1] == "not measured"  # no p99 from 50
    assert verdicts(run(measurement("cuda", 1.0), bundle="another")) == ["not measured"] * 3


def test_cuda_graphs_count_where_there_are_some() -> None:
    plain, captured = measurement("cuda", 9.0, captured=False), measurement("cuda", 1.0)
    assert verdicts(run(plain, captured))[0] == "met"
    assert verdicts(run(plain))[0] == "not met"


def test_other_sizes_and_networks_have_no_targets() -> None:
    runs = [run(measurement("cuda", 1.0))]
    assert targets(runs, {"x": facts(size_hw=(193, 385))}) == ()
    assert targets(runs, {"x": facts("psp101")}) == ()


def test_shares_of_the_peak() -> None:
    peak = run(bundle=None, name=RATE_STEP, value={"peak_tflop_per_s": 500.0})
    cost = run(name=COST_STEP, value={"gflop": 500.0})
    times = run(measurement("cuda", 2.0), measurement(EAGER_FP32, 9.0))
    found = shares([peak, times, cost], {"x": facts()})
    assert [(s.side, s.counted, s.gflop, s.share) for s in found] == [
        ("cuda", "graphs", 500.0, 0.5),  # 500 GFLOP in 2 ms are 250 TFLOP/s
        ("cuda", "public network", 515.0, 0.515),
    ]
    assert shares([times, cost], {"x": facts()}) == ()
    assert [s.counted for s in shares([peak, times], {"x": facts()})] == ["public network"]
    assert shares([peak, times], {"x": facts(size_hw=(9, 9))}) == ()


def test_a_rate() -> None:
    assert rate_of(2e12, 4.0) == pytest.approx(500.0)
    with pytest.raises(BackendError, match="events do not tell"):
        rate_of(1e12, 0.0)
