"""Ratios of times, with bootstrap intervals: pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tdnet_bench.records import Record
from tdnet_runtime.extras import require

__all__ = ["CONFIDENCE", "RESAMPLES", "Ratio", "UnpairedRatio", "paired_ratio", "unpaired_ratio"]

CONFIDENCE = 0.95
RESAMPLES = 9999
_SEED = 0  # the same records give the same interval
_BATCH = 1000  # resamples held in memory at a time

Values = npt.NDArray[np.float64]


class Ratio(Record, frozen=True, kw_only=True):
    """One side's time over another's on the warm frames that both have; below 1 the first is faster.

    The interval is that of `median_of_pairs` (percentile bootstrap over the frames, as pairs; `CONFIDENCE`); None
    below two pairs.
    """

    pairs: int
    of_p50s: float
    median_of_pairs: float
    low: float | None
    high: float | None


class UnpairedRatio(Record, frozen=True, kw_only=True):
    """Times of one run over those of another, p50 over p50; below 1 the first is faster.

    The interval is a percentile bootstrap (`CONFIDENCE`), each run resampled by itself; None where a run has fewer
    than two frames.
    """

    samples: int
    baseline_samples: int
    of_p50s: float
    low: float | None
    high: float | None


def paired_ratio(times_ns: dict[int, int], baseline_ns: dict[int, int]) -> Ratio | None:
    """`times_ns` over `baseline_ns`, both by frame, on the frames that both have; None where there are none."""
    shared = sorted(times_ns.keys() & baseline_ns.keys())
    if not shared:
        return None
    ours, theirs = ([times[frame] for frame in shared] for times in (times_ns, baseline_ns))
    of_p50s, median_of_pairs, low, high = _figures(ours, theirs, _median_of_pairs, paired=True)
    return Ratio(pairs=len(shared), of_p50s=of_p50s, median_of_pairs=median_of_pairs, low=low, high=high)


def unpaired_ratio(times_ns: Sequence[int], baseline_ns: Sequence[int]) -> UnpairedRatio | None:
    """`times_ns` over `baseline_ns`, whose frames have nothing to do with each other; None without frames."""
    if not times_ns or not baseline_ns:
        return None
    of_p50s, _, low, high = _figures(times_ns, baseline_ns, _ratio_of_medians, paired=False)
    return UnpairedRatio(
        samples=len(times_ns), baseline_samples=len(baseline_ns), of_p50s=of_p50s, low=low, high=high
    )


def _figures(
    times_ns: Sequence[int], baseline_ns: Sequence[int], statistic: Any, *, paired: bool
) -> tuple[float, float, float | None, float | None]:
    """The ratio of the p50s, `statistic`, and the ends of its interval."""
    both = np.asarray(times_ns, dtype=np.float64), np.asarray(baseline_ns, dtype=np.float64)
    return (
        float(_ratio_of_medians(*both)),
        float(statistic(*both)),
        *_interval(*both, statistic, paired=paired),
    )


def _median_of_pairs(numerator: Values, denominator: Values, axis: int = -1) -> Any:
    return np.median(numerator / denominator, axis=axis)


def _ratio_of_medians(numerator: Values, denominator: Values, axis: int = -1) -> Any:
    return np.median(numerator, axis=axis) / np.median(denominator, axis=axis)


def _interval(
    numerator: Values, denominator: Values, statistic: Any, *, paired: bool
) -> tuple[float, float] | tuple[None, None]:
    if min(len(numerator), len(denominator)) < 2:
        return None, None
    # Imported only now: it takes a second and 50 MiB, which would count as the bundle's.
    found = (
        require("scipy.stats", extra="bench")
        .bootstrap(
            (numerator, denominator),
            statistic,
            paired=paired,
            vectorized=True,
            n_resamples=RESAMPLES,
            batch=_BATCH,
            confidence_level=CONFIDENCE,
            method="percentile",  # BCa's jackknife is undefined where the frames' ratios are equal
            rng=np.random.default_rng(_SEED),
        )
        .confidence_interval
    )
    return float(found.low), float(found.high)
