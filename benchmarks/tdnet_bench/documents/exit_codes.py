"""What the exit code of `tdnet-bench` says. The highest one that holds is given."""

from __future__ import annotations

from collections.abc import Iterable

from tdnet_bench.records.config import LeftOut
from tdnet_bench.statistics.summary import Summary

__all__ = [
    "ALL_MEASURED",
    "EXIT_CODES",
    "LEFT_OUT",
    "MIN_AGREEMENT",
    "REFERENCE_DISAGREES",
    "disagreeing_sides",
    "exit_code",
]

MIN_AGREEMENT = 0.95
"""Mean label agreement with the reference below which a side is not taken for the same network."""

ALL_MEASURED = 0
LEFT_OUT = 3
REFERENCE_DISAGREES = 4

EXIT_CODES = {
    ALL_MEASURED: "everything that was asked for was measured",
    1: "an error; nothing was measured, or not to the end",
    2: "wrong usage",
    LEFT_OUT: "something that was asked for was left out; the notes say what and why",
    REFERENCE_DISAGREES: f"a side's labels agree with the reference's by less than {MIN_AGREEMENT:.0%}",
    129: "terminated by SIGHUP",
    130: "interrupted",
    143: "terminated by SIGTERM",
}


def disagreeing_sides(summary: Summary) -> tuple[str, ...]:
    """Names of the sides whose mean label agreement is below `MIN_AGREEMENT`."""
    return tuple(
        side
        for side, figures in summary.sides.items()
        if figures.quality.agreement is not None and figures.quality.agreement.mean < MIN_AGREEMENT
    )


def exit_code(summary: Summary, left_out: Iterable[LeftOut]) -> int:
    """Of a run that came to its end."""
    if disagreeing_sides(summary):
        return REFERENCE_DISAGREES
    return LEFT_OUT if any(left_out) else ALL_MEASURED
