"""Where each graph stands below what the machine can do: pure functions of costs, ceilings and times.

The model (Williams et al., "Roofline", 2009): a graph of F FLOPs whose compulsory traffic is B bytes can run at
min(peak, F/B · bandwidth). Compulsory traffic makes this a true upper bound: whatever is fused, weights,
inputs and outputs must be moved. (Their size is the graph's: a library that keeps FP32 weights in BF16 moves up to
half of it, which matters only to graphs bound by memory.) Where a graph multiplies several types, each has
its own peak, and `peak` is the mean rate at which they can be done one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tdnet_bench.records import Record
from tdnet_bench.roofline.costs import GraphCost

__all__ = [
    "Ceilings", "ComputeCeiling", "CopyRate", "ProbeRate", "Roofline", "RooflinePoint", "roofline_from_costs",
    "roofline_point",
]  # fmt: skip

_TOLERANCE = 0.01  # of the ceiling, before a share above 1 is worth a note


class ProbeRate(Record, frozen=True, kw_only=True):
    """The fastest of `repeats` runs of one probe, in 10⁹ operations (two for each multiply-add) per second."""

    probe: str
    gflop_per_s: float
    repeats: int


class ComputeCeiling(Record, frozen=True, kw_only=True):
    """The best rate of one library in one precision (`fp32`, `bf16` or `int8`), and those it is the best of."""

    library: str
    precision: str
    gflop_per_s: float
    probes: tuple[ProbeRate, ...]

    @classmethod
    def of(cls, library: str, precision: str, probes: Iterable[ProbeRate]) -> ComputeCeiling:
        """The best of `probes`."""
        rates = tuple(probes)
        best = max(rate.gflop_per_s for rate in rates)
        return cls(library=library, precision=precision, gflop_per_s=best, probes=rates)


class CopyRate(Record, frozen=True, kw_only=True):
    """The fastest copy of one size (read plus written), in 10⁹ bytes per second, and by which library, or `numpy`."""

    footprint_bytes: int
    gb_per_s: float
    method: str


class Ceilings(Record, frozen=True, kw_only=True):
    """What one device can do, measured by `measure_ceilings`: by library and precision, and copies, the smallest first."""

    threads: int
    compute: tuple[ComputeCeiling, ...]
    copies: tuple[CopyRate, ...]
    notes: tuple[str, ...] = ()

    def peak(self, library: str, precision: str) -> float | None:
        """GFLOP/s; None where it was not measured."""
        found = (c.gflop_per_s for c in self.compute if (c.library, c.precision) == (library, precision))
        return next(found, None)

    def bandwidth(self, footprint_bytes: int) -> float | None:
        """GB/s for traffic of so many bytes; None where no copy was measured.

        It is the best of the copies that are larger, or the next smaller one: a graph that fits into a cache
        is not bound by the memory.
        """
        smaller = (c.footprint_bytes for c in self.copies if c.footprint_bytes <= footprint_bytes)
        floor = max(smaller, default=0)
        return max((c.gb_per_s for c in self.copies if c.footprint_bytes >= floor), default=None)


class RooflinePoint(Record, frozen=True, kw_only=True):
    """One graph, or path, on the roofline.

    Attributes:
        gflop: 10⁹ FLOPs of matrix products; `intensity` is FLOPs for each compulsory byte (see `GraphCost`).
        peak_gflop_per_s: the ceiling for its types, as the bandwidth's is for its traffic.
        attainable_gflop_per_s: min(peak, intensity · bandwidth).
        bound: `compute` or `memory`: which of the two it is.
        least_ms: at the attainable rate. For a path, add up its graphs' and divide by the sum of their times.
        share: reached over attainable, 0 to 1. Above 1 the ceiling is wrong.
    """

    name: str
    gflop: float
    compulsory_bytes: int
    intensity: float
    peak_gflop_per_s: float
    bandwidth_gb_per_s: float
    attainable_gflop_per_s: float
    bound: str
    time_ms: float
    least_ms: float
    reached_gflop_per_s: float
    share: float


class Roofline(Record, frozen=True, kw_only=True):
    """All graphs of one side of a run, held against the ceilings of `library`."""

    library: str
    points: tuple[RooflinePoint, ...]
    notes: tuple[str, ...]


def roofline_point(
    name: str,
    cost: GraphCost,
    ceilings: Ceilings,
    *,
    time_ms: float,
    library: str,
    precisions: Mapping[str, str],
) -> RooflinePoint | None:
    """Where `cost`, done in `time_ms`, stands; None where a ceiling that it needs was not measured.

    `precisions` has, by the graph's type (`float32`, `int8`, ...), the precision in which `library` computes it.

    Raises:
        ValueError: nothing to hold against a roofline, or no time.
    """
    if not (cost.flops > 0 and cost.compulsory_bytes > 0 and time_ms > 0):
        raise ValueError(f"{name} has {cost.flops} FLOPs and took {time_ms} ms; expected more than 0 of both")
    bandwidth = ceilings.bandwidth(cost.compulsory_bytes)
    compute_ns = 0.0
    for kind, flops in cost.matrix_flops.items():
        peak = ceilings.peak(library, precisions.get(kind, kind))
        if peak is None or bandwidth is None:
            return None
        compute_ns += flops / peak
    assert bandwidth is not None  # there is at least one type
    memory_ns = cost.compulsory_bytes / bandwidth
    least_ns = max(compute_ns, memory_ns)
    return RooflinePoint(
        name=name,
        gflop=cost.flops / 1e9,
        compulsory_bytes=cost.compulsory_bytes,
        intensity=cost.flops / cost.compulsory_bytes,
        peak_gflop_per_s=cost.flops / compute_ns,
        bandwidth_gb_per_s=bandwidth,
        attainable_gflop_per_s=cost.flops / least_ns,
        bound="compute" if compute_ns >= memory_ns else "memory",
        time_ms=time_ms,
        least_ms=least_ns / 1e6,
        reached_gflop_per_s=cost.flops / time_ms / 1e6,
        share=least_ns / 1e6 / time_ms,
    )


def roofline_from_costs(
    costs: Iterable[GraphCost],
    ceilings: Ceilings,
    *,
    times_ms: Mapping[str, float],
    library: str,
    precisions: Mapping[str, str],
) -> Roofline:
    """All graphs that were timed; those without a time are left out, and a note says so.

    `precisions` is `{"float32": "fp32"}` for FP32 graphs, `{"float32": "bf16"}` for the same run in BF16, and
    `{"float32": "bf16", "int8": "int8"}` for INT8 graphs whose rest is run in BF16.
    """
    points, notes = [], []
    for cost in costs:
        if cost.uncounted:
            notes.append(
                f"{cost.graph} has operators whose arithmetic is not counted: {', '.join(cost.uncounted)}"
            )
        if cost.graph not in times_ms:
            notes.append(f"{cost.graph} was not timed by itself: it has no roofline")
            continue
        time_ms = times_ms[cost.graph]
        point = roofline_point(
            cost.graph, cost, ceilings, time_ms=time_ms, library=library, precisions=precisions
        )
        if point is None:
            kinds = ", ".join(sorted({precisions.get(kind, kind) for kind in cost.matrix_flops}))
            notes.append(f"{cost.graph} has no roofline: {library} in {kinds}, or copying, was not measured")
            continue
        points.append(point)
        if point.share > 1 + _TOLERANCE:
            notes.append(
                f"{cost.graph} reaches {point.share:.0%} of what was found attainable, so the ceiling is wrong: "
                "measure again on an idle machine"
            )
    return Roofline(library=library, points=tuple(points), notes=tuple(notes))
