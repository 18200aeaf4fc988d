from __future__ import annotations

import pytest

from tdnet_bench.statistics.latency import (
    P99_MIN_SAMPLES,
    LatencyStats,
    drift_stats,
    latency_stats,
    ripple_ms,
)

MS = 1_000_000


def _stats(times_ns: list[int]) -> LatencyStats:
    stats = latency_stats(times_ns)
    assert stats is not None
    return stats


def test_percentiles_interpolate_linearly() -> None:
    stats = _stats([40 * MS, 10 * MS, 20 * MS, 30 * MS])
    assert stats.samples == 4
    assert stats.min_ms == 10.0
    assert stats.max_ms == 40.0
    assert stats.mean_ms == 25.0
    assert stats.p50_ms == 25.0  # position 1.5 of 0 to 3
    assert stats.p90_ms == pytest.approx(37.0, abs=1e-12)  # position 2.7
    assert stats.p95_ms == pytest.approx(38.5, abs=1e-12)  # position 2.85
    assert stats.p99_ms is None


def test_one_sample_is_every_figure() -> None:
    stats = _stats([7 * MS])
    assert (stats.min_ms, stats.p50_ms, stats.p90_ms, stats.p95_ms, stats.max_ms, stats.mean_ms) == (7.0,) * 6


def test_p99_appears_at_a_hundred_samples_and_not_before() -> None:
    samples = [frame * MS for frame in range(1, P99_MIN_SAMPLES + 1)]
    assert _stats(samples[:-1]).p99_ms is None
    assert _stats(samples).p99_ms == pytest.approx(99.01, abs=1e-12)  # position 98.01 of 0 to 99
    assert P99_MIN_SAMPLES == 100


def test_an_outlier_is_kept() -> None:
    stats = _stats([MS] * 99 + [1000 * MS])
    assert stats.max_ms == 1000.0
    assert stats.mean_ms == pytest.approx(10.99, abs=1e-12)
    assert stats.p50_ms == 1.0
    assert stats.p99_ms == pytest.approx(1 + 0.01 * 999, abs=1e-9)  # position 98.01, towards the last


def test_no_samples_are_nothing() -> None:
    assert latency_stats([]) is None


def test_ripple_is_between_the_slowest_and_the_fastest_path() -> None:
    by_path = {1: _stats([10 * MS, 12 * MS]), 2: _stats([30 * MS]), 3: _stats([9 * MS])}
    assert ripple_ms(by_path) == 21.0
    assert ripple_ms({1: by_path[1]}) is None
    assert ripple_ms({}) is None


def test_drift_compares_windows_of_whole_rounds() -> None:
    # Two paths of 10 and 20 ms; the last rounds take half as long again. 18 frames: a quarter is 4 frames.
    times = [10 * MS, 20 * MS] * 7 + [15 * MS, 30 * MS] * 2
    drift = drift_stats(times, paths=2)
    assert drift is not None
    assert drift.window_frames == 4
    assert (drift.first_p50_ms, drift.last_p50_ms) == (15.0, 22.5)
    assert drift.change == pytest.approx(0.5)


def test_a_window_is_never_a_part_of_a_round() -> None:
    drift = drift_stats([MS] * 23, paths=2)  # a quarter is 5 frames
    assert drift is not None
    assert drift.window_frames == 4
    assert drift_stats([MS] * 7, paths=2) is None  # a quarter is 1 frame
    assert drift_stats([], paths=1) is None
