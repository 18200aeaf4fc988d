"""What the page's tests are about: a document with everything that a page can show."""

from __future__ import annotations

import msgspec

from tdnet_bench.records.frames import AnyRecord, FrameRecord, PacedRecord
from tdnet_bench.roofline.model import Ceilings, ComputeCeiling, CopyRate, ProbeRate, Roofline, RooflinePoint

__all__ = ["CEILINGS", "COLORS", "MS", "PEER", "ROOFLINE", "SUBJECT", "many_records"]

MS = 1_000_000
SUBJECT, PEER = "fake:fp32", "pytorch"
COLORS = [(0, 0, 0), (0, 0, 200), (0, 200, 0), (200, 0, 0), (200, 200, 0)]


def many_records(records: tuple[AnyRecord, ...]) -> list[AnyRecord]:
    """`records` with device times, and so many frames that there are p99s, windows and drops."""
    frames = [record for record in records if isinstance(record, FrameRecord)]
    others = [record for record in records if not isinstance(record, FrameRecord)]
    many: list[AnyRecord] = [
        msgspec.structs.replace(
            record,
            frame=record.frame + 4 * round_ if record.frame else 4 * round_,
            path=record.path if record.frame else 1,
            cold=record.cold and round_ == 0,
            host_call_ns=record.host_call_ns + round_ * 10_000 * (1 if record.side == SUBJECT else 2),
            device_compute_ns=record.host_call_ns // 2 if record.side == SUBJECT else None,
        )
        for round_ in range(30)
        for record in frames
        if record.frame < 4
    ]
    late = [
        PacedRecord(
            fps=30.0,
            frame=3 * i,
            push=i,
            path=i % 2 + 1,
            cold=i < 1,
            arrival_ns=round(3 * i * 1e9 / 30),
            started_ns=round(3 * i * 1e9 / 30) + 1000,
            done_ns=round(3 * i * 1e9 / 30) + (70 + i) * MS,
        )
        for i in range(4)
    ]
    return [*many, *others, *late]


def _point(name: str, time_ms: float, bound: str) -> RooflinePoint:
    return RooflinePoint(
        name=name,
        gflop=12.34,
        compulsory_bytes=1000,
        intensity=56.78,
        peak_gflop_per_s=200.0,
        bandwidth_gb_per_s=10.0,
        attainable_gflop_per_s=180.5,
        bound=bound,
        time_ms=time_ms,
        least_ms=time_ms / 4,
        reached_gflop_per_s=45.125,
        share=0.25,
    )


CEILINGS = Ceilings(
    threads=2,
    compute=(
        ComputeCeiling(
            library="fake",
            precision="fp32",
            gflop_per_s=200.5,
            probes=(ProbeRate(probe="1x1", gflop_per_s=200.5, repeats=3),),
        ),
    ),
    copies=(CopyRate(footprint_bytes=2 << 20, gb_per_s=10.25, method="numpy"),),
    notes=("no INT8 here",),
)
_POINTS = (_point("subnet1", 8.5, "compute"), _point("apm1", 1.5, "memory"))
ROOFLINE = Roofline(library="fake", points=_POINTS, notes=("apm2 was not timed",))
