"""The project's targets, which are for a data centre's GPU, as a table of met, not met and not measured."""

from __future__ import annotations

from collections.abc import Iterable

from tdnet_bench.gpu_check.records import (
    EAGER_FP32,
    BundleFacts,
    Clock,
    Measurement,
    PartRun,
    Target,
    Verdict,
)

__all__ = ["LIMIT_MS", "SIDES", "found_measurement", "targets"]

SIDES = ("tensorrt", "tensorrt-rtx", "cuda")
"""The backends that targets are about."""

LIMIT_MS = {"td4-psp18": 1.5, "td2-psp50": 3.0}
"""p50 of the GPU compute, by network, at the size below."""

_SIZE_HW = (769, 1537)
_MAX_P99_OVER_P50 = 1.1
_MIN_SPEEDUP = 3.0


def targets(parts: Iterable[PartRun], bundles: dict[str, BundleFacts]) -> tuple[Target, ...]:
    """All targets of all bundles of a size and network that has some, for every GPU backend.

    The speed-up compares two parts of one run: processes one after the other on the same frames.
    """
    runs = tuple(parts)
    rows: list[Target] = []
    for name, facts in bundles.items():
        if (facts.height, facts.width) != _SIZE_HW or facts.network not in LIMIT_MS:
            continue
        eager = found_measurement(runs, name, EAGER_FP32, clock="gpu compute")
        for side in SIDES:
            ours = found_measurement(runs, name, side, clock="gpu compute")
            rows += _rows(name, side, ours, eager, limit_ms=LIMIT_MS[facts.network])
    return tuple(rows)


def found_measurement(
    parts: Iterable[PartRun], bundle: str, side: str, *, clock: Clock
) -> Measurement | None:
    """A side's first measurement by that clock, one with CUDA graphs where there is one; None where there is none."""
    all_of_it = [
        found
        for part in parts
        if part.bundle == bundle
        for step in part.steps
        for found in step.measurements
        if found.side == side and found.clock == clock
    ]
    return next((found for found in all_of_it if found.captured), all_of_it[0] if all_of_it else None)


def _rows(
    bundle: str, side: str, ours: Measurement | None, eager: Measurement | None, *, limit_ms: float
) -> list[Target]:
    p50 = None if ours is None else ours.timed.overall.p50_ms
    p99 = None if ours is None else ours.timed.overall.p99_ms
    spread = None if p50 is None or p99 is None else p99 / p50
    speedup = None if p50 is None or eager is None else eager.timed.overall.p50_ms / p50

    def row(what: str, limit: float, value: float | None, *, at_most: bool) -> Target:
        verdict: Verdict = "not measured"
        if value is not None:
            verdict = "met" if (value <= limit if at_most else value >= limit) else "not met"
        return Target(bundle=bundle, side=side, what=what, limit=limit, value=value, verdict=verdict)

    return [
        row("GPU compute p50, ms, at most", limit_ms, p50, at_most=True),
        row("GPU compute p99 over p50, at most", _MAX_P99_OVER_P50, spread, at_most=True),
        row(f"times as fast as {EAGER_FP32} FP32, at least", _MIN_SPEEDUP, speedup, at_most=False),
    ]
