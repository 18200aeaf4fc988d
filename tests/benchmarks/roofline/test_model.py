from __future__ import annotations

import msgspec
import pytest

from tdnet_bench.roofline.costs import GraphCost
from tdnet_bench.roofline.model import (
    Ceilings,
    ComputeCeiling,
    CopyRate,
    Roofline,
    roofline_from_costs,
    roofline_point,
)

MIB = 2**20


def ceilings(*peaks: tuple[str, float], copies: tuple[tuple[int, float], ...] = ((MIB, 10.0),)) -> Ceilings:
    """Peaks by precision of the library `ort`, and copies by bytes."""
    return Ceilings(
        threads=2,
        compute=tuple(
            ComputeCeiling(library="ort", precision=precision, gflop_per_s=peak, probes=())
            for precision, peak in peaks
        ),
        copies=tuple(CopyRate(footprint_bytes=n, gb_per_s=rate, method="numpy") for n, rate in copies),
    )


def cost(matrix_flops: dict[str, int], compulsory_bytes: int) -> GraphCost:
    return GraphCost(graph="g", matrix_flops=matrix_flops, compulsory_bytes=compulsory_bytes, uncounted=())


def graph_cost(name: str, gflop: int, *, uncounted: tuple[str, ...] = ()) -> GraphCost:
    return GraphCost(
        graph=name, matrix_flops={"float32": gflop * 10**9}, compulsory_bytes=10**6, uncounted=uncounted
    )


def test_a_graph_bound_by_compute() -> None:
    point = roofline_point(
        "subnet1",
        cost({"float32": 40 * 10**9}, 10**8),
        ceilings(("fp32", 100.0)),
        time_ms=500,
        library="ort",
        precisions={"float32": "fp32"},
    )
    assert point is not None
    assert point.bound == "compute"
    assert point.intensity == 400
    assert point.attainable_gflop_per_s == pytest.approx(100)  # of 400·10
    assert point.least_ms == pytest.approx(400)
    assert point.reached_gflop_per_s == pytest.approx(80)
    assert point.share == pytest.approx(0.8)


def test_a_graph_bound_by_memory() -> None:
    point = roofline_point(
        "apm1",
        cost({"float32": 10**9}, 5 * 10**8),
        ceilings(("fp32", 100.0)),
        time_ms=200,
        library="ort",
        precisions={"float32": "fp32"},
    )
    assert point is not None
    assert point.bound == "memory"
    assert point.intensity == 2
    assert point.attainable_gflop_per_s == pytest.approx(20)  # 2·10 of 100
    assert point.least_ms == pytest.approx(50)  # 0.5 GB at 10 GB/s
    assert point.share == pytest.approx(0.25)


def test_each_type_has_its_own_peak() -> None:
    point = roofline_point(
        "subnet1",
        cost({"int8": 60 * 10**9, "float32": 20 * 10**9}, 10**6),
        ceilings(("bf16", 200.0), ("int8", 300.0), ("fp32", 1.0)),
        time_ms=400,
        library="ort",
        precisions={"int8": "int8", "float32": "bf16"},
    )
    assert point is not None
    assert point.least_ms == pytest.approx(200 + 100)
    assert point.peak_gflop_per_s == pytest.approx(80 / 0.3)
    assert point.share == pytest.approx(0.75)


def test_attainable_is_the_lower_of_the_two_ceilings() -> None:
    for count in (10**6, 10**8, 10**10):
        point = roofline_point(
            "g",
            cost({"float32": 10**10}, count),
            ceilings(("fp32", 50.0)),
            time_ms=1e4,
            library="ort",
            precisions={"float32": "fp32"},
        )
        assert point is not None
        expected = min(point.peak_gflop_per_s, point.intensity * point.bandwidth_gb_per_s)
        assert point.attainable_gflop_per_s == pytest.approx(expected)


@pytest.mark.parametrize(
    ("footprint", "expected"), [(MIB // 2, 100), (20 * MIB, 80), (64 * MIB, 25), (10**12, 25)]
)
def test_bandwidth_is_that_of_the_next_smaller_copy(footprint: int, expected: float) -> None:
    copies = ((MIB, 100.0), (16 * MIB, 80.0), (64 * MIB, 25.0))
    assert ceilings(copies=copies).bandwidth(footprint) == expected


def test_a_larger_copy_that_was_faster_counts_too() -> None:
    assert ceilings(copies=((MIB, 30.0), (2 * MIB, 40.0))).bandwidth(MIB) == 40


@pytest.mark.parametrize(
    "given", [ceilings(("bf16", 1.0)), ceilings(("fp32", 1.0), copies=()), ceilings(copies=())]
)
def test_no_ceiling_no_point(given: Ceilings) -> None:
    found = roofline_point(
        "g", cost({"float32": 1}, 1), given, time_ms=1, library="ort", precisions={"float32": "fp32"}
    )
    assert found is None


def test_another_librarys_ceiling_is_not_taken() -> None:
    assert ceilings(("fp32", 1.0)).peak("openvino", "fp32") is None


@pytest.mark.parametrize(("flops", "time_ms"), [({}, 1.0), ({"float32": 0}, 1.0), ({"float32": 1}, 0.0)])
def test_nothing_to_hold_against_a_roofline(flops: dict[str, int], time_ms: float) -> None:
    with pytest.raises(ValueError, match="more than 0"):
        roofline_point(
            "g", cost(flops, 1), ceilings(("float32", 1.0)), time_ms=time_ms, library="ort", precisions={}
        )


def test_all_graphs_with_what_is_missing_said() -> None:
    roofline = roofline_from_costs(
        [graph_cost("subnet1", 10), graph_cost("apm1", 2), graph_cost("apm2", 1, uncounted=("Sin",))],
        ceilings(("fp32", 100.0), copies=((1, 1000.0),)),
        times_ms={"subnet1": 200.0, "apm2": 5.0},
        library="ort",
        precisions={"float32": "fp32"},
    )
    assert [(point.name, point.share) for point in roofline.points] == [
        ("subnet1", pytest.approx(0.5)),
        ("apm2", pytest.approx(2.0)),
    ]
    assert len(roofline.notes) == 3
    assert "apm1 was not timed" in roofline.notes[0]
    assert "apm2 has operators whose arithmetic is not counted: Sin" in roofline.notes[1]
    assert "apm2 reaches 200%" in roofline.notes[2]
    assert msgspec.json.decode(msgspec.json.encode(roofline), type=Roofline) == roofline


def test_a_missing_ceiling_is_said() -> None:
    roofline = roofline_from_costs(
        [graph_cost("subnet1", 10)],
        ceilings(("fp32", 100.0)),
        times_ms={"subnet1": 1.0},
        library="ort",
        precisions={"float32": "bf16"},
    )
    assert roofline.points == ()
    assert roofline.notes == ("subnet1 has no roofline: ort in bf16, or copying, was not measured",)
