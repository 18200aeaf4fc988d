from __future__ import annotations

from tests.benchmarks.published.conftest import ReadMachine, Write
from tests.benchmarks.published.tables import link, tables_of

from tdnet_bench.published.roofline_tables import roofline_table
from tdnet_bench.roofline.model import Ceilings, ComputeCeiling, CopyRate, Roofline, RooflinePoint

MIB = 1 << 20


def point(name: str, share: float) -> RooflinePoint:
    return RooflinePoint(
        name=name,
        gflop=1.0,
        compulsory_bytes=1,
        intensity=1.0,
        peak_gflop_per_s=1.0,
        bandwidth_gb_per_s=1.0,
        attainable_gflop_per_s=1.0,
        bound="compute",
        time_ms=1.0,
        least_ms=1.0,
        reached_gflop_per_s=1.0,
        share=share,
    )


def roofline(**shares: float) -> Roofline:
    points = tuple(point(name, share) for name, share in shares.items())
    return Roofline(library="ort", points=points, notes=())


def ceilings(fp32: float, copy: float) -> Ceilings:
    return Ceilings(
        threads=2,
        compute=(ComputeCeiling(library="ort", precision="fp32", gflop_per_s=fp32, probes=()),),
        copies=(CopyRate(footprint_bytes=2 * MIB, gb_per_s=copy, method="numpy"),),
    )


def test_shares_from_the_least_to_the_most_of_the_paths(write: Write, machine: ReadMachine) -> None:
    first = roofline(subnet1=0.626, apm1=0.601, subnet2=0.581, apm2=0.598)
    write("a", rooflines={"fake:fp32": first}, ceilings=ceilings(199.07, 9.5))
    write(
        "b",
        config={"width": 48},
        rooflines={"fake:fp32": roofline(subnet1=0.7, subnet2=0.8)},
        ceilings=ceilings(183.5, 9.5),
        other_busy_cores=1.0,
    )
    write("without")
    shares, limits = tables_of(roofline_table(machine(), link))
    assert shares == [
        {
            "network": "td2-fa18, stem 4",
            "input": "48×64",
            "side": "fake:fp32",
            "sub-networks": "58–63 %",
            "APMs": "60 %",
            "file": "[json](a.json)",
        },
        {
            "network": "td2-fa18, stem 4 †",
            "input": "48×48",
            "side": "fake:fp32",
            "sub-networks": "70–80 %",
            "APMs": "–",
            "file": "[json](b.json)",
        },
    ]
    assert limits == [
        {"ceiling": "ort fp32 †", "measured": "184–199 GOP/s"},
        {"ceiling": "copying, 2 MiB read and written †", "measured": "9.50 GB/s"},
    ]


def test_a_network_without_paths_has_one_kind_of_graph(write: Write, machine: ReadMachine) -> None:
    write("a", rooflines={"fake:fp32": roofline(psp101=0.5)}, ceilings=ceilings(1.0, 1.0))
    shares, _ = tables_of(roofline_table(machine(), link))
    assert shares[0]["psp101"] == "50 %"


def test_nothing_measured(write: Write, machine: ReadMachine) -> None:
    write("a")
    assert roofline_table(machine(), link) is None
