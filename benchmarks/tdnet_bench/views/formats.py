"""Numbers as text, the same in every report."""

from __future__ import annotations

from tdnet_bench.statistics.latency import Drift

__all__ = [
    "ABSENT", "format_drift", "format_interval", "format_mib", "format_ms", "format_percent", "format_ratio",
    "format_share",
]  # fmt: skip

ABSENT = "\N{EN DASH}"


def format_ms(value_ms: float | None) -> str:
    """Milliseconds with two decimals, one from 1000 on."""
    if value_ms is None:
        return ABSENT
    return f"{value_ms:.2f}" if value_ms < 1000 else f"{value_ms:.1f}"


def format_ratio(value: float | None) -> str:
    """A ratio with three decimals; three digits below 0.1 and one decimal from 10 on."""
    if value is None:
        return ABSENT
    if value < 0.1:
        return f"{value:.3g}"
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def format_interval(low: float | None, high: float | None) -> str:
    """The ends of a ratio's interval."""
    return ABSENT if low is None or high is None else f"{format_ratio(low)} to {format_ratio(high)}"


def format_share(share: float | None) -> str:
    """A share (0 to 1) in per cent with four decimals; 100.0000 only where it is all of them."""
    if share is None:
        return ABSENT
    text = f"{100 * share:.4f}"
    return ">99.9999" if text == "100.0000" and share < 1 else text


def format_percent(share: float | None) -> str:
    """A score (0 to 1), such as an IoU, in per cent with two decimals."""
    return ABSENT if share is None else f"{100 * share:.2f}"


def format_mib(value_mib: float | None) -> str:
    """Memory in whole MiB."""
    return ABSENT if value_mib is None else f"{value_mib:.0f} MiB"


def format_drift(drift: Drift | None) -> str:
    """The change in per cent, with its sign."""
    return ABSENT if drift is None else f"{100 * drift.change:+.1f} %"
