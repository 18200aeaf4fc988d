from __future__ import annotations

from collections.abc import Callable

import pytest

from tdnet_bench.records import FrameRecord
from tdnet_bench.stats import P99_MIN_SAMPLES, agreement_stats, latency_stats, ratio_stats, summarise

MS = 1_000_000


def test_percentiles_interpolate_linearly() -> None:
    stats = latency_stats([40 * MS, 10 * MS, 20 * MS, 30 * MS])
    assert stats.samples == 4
    assert stats.min_ms == 10.0
    assert stats.max_ms == 40.0
    assert stats.mean_ms == 25.0
    assert stats.p50_ms == 25.0  # position 1.5 of 0 to 3
    assert stats.p95_ms == pytest.approx(38.5, abs=1e-12)  # position 2.85
    assert stats.p99_ms is None


def test_one_sample_is_every_figure() -> None:
    stats = latency_stats([7 * MS])
    assert (stats.min_ms, stats.p50_ms, stats.p95_ms, stats.max_ms, stats.mean_ms) == (7.0,) * 5


def test_p99_appears_at_a_hundred_samples_and_not_before() -> None:
    samples = [frame * MS for frame in range(1, P99_MIN_SAMPLES + 1)]
    assert latency_stats(samples[:-1]).p99_ms is None
    assert latency_stats(samples).p99_ms == pytest.approx(99.01, abs=1e-12)  # position 98.01 of 0 to 99
    assert P99_MIN_SAMPLES == 100


def test_an_outlier_is_kept() -> None:
    stats = latency_stats([MS] * 99 + [1000 * MS])
    assert stats.max_ms == 1000.0
    assert stats.mean_ms == pytest.approx(10.99, abs=1e-12)
    assert stats.p50_ms == 1.0
    assert stats.p99_ms == pytest.approx(1 + 0.01 * 999, abs=1e-9)  # position 98.01, towards the last


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        latency_stats([])


def test_ratios_are_of_medians_and_of_pairs(record: Callable[..., FrameRecord]) -> None:
    ours = [record(1, "a", 10), record(2, "a", 20), record(3, "a", 90)]
    theirs = [record(1, "b", 40), record(2, "b", 30), record(3, "b", 60)]
    ratio = ratio_stats(ours, theirs)
    assert ratio is not None
    assert ratio.pairs == 3
    assert ratio.of_p50s == 20 / 40  # medians of (10, 20, 90) and (30, 40, 60)
    assert ratio.median_of_pairs == 20 / 30  # of 0.25, 0.667, 1.5


def test_ratios_use_only_frames_that_both_have(record: Callable[..., FrameRecord]) -> None:
    ratio = ratio_stats([record(1, "a", 10), record(2, "a", 99)], [record(1, "b", 20), record(3, "b", 1)])
    assert ratio is not None
    assert (ratio.pairs, ratio.of_p50s, ratio.median_of_pairs) == (1, 0.5, 0.5)
    assert ratio_stats([record(1, "a", 10)], [record(2, "b", 20)]) is None


def test_agreement_names_the_worst_frame(record: Callable[..., FrameRecord]) -> None:
    stats = agreement_stats([record(0, "a", 1, 1.0), record(1, "a", 1, 0.25), record(2, "a", 1, 0.25)])
    assert stats is not None
    assert (stats.frames, stats.mean, stats.worst, stats.worst_frame) == (3, 0.5, 0.25, 1)
    assert agreement_stats([record(0, "a", 1)]) is None


def test_summary_keeps_first_and_cold_frames_apart(records: tuple[FrameRecord, ...]) -> None:
    bundle = summarise(records, baseline="reference").sides["bundle"]
    assert [(f.frame, f.path, f.cold, f.host_call_ms) for f in bundle.lead_in] == [(0, 1, True, 90.0)]
    assert bundle.overall is not None
    assert (bundle.overall.samples, bundle.overall.p50_ms, bundle.overall.max_ms) == (4, 25.0, 60.0)
    assert {path: (s.samples, s.p50_ms, s.mean_ms) for path, s in bundle.by_path.items()} == {
        1: (2, 40.0, 40.0),  # frames 2 and 4: 20 and 60
        2: (2, 20.0, 20.0),  # frames 1 and 3: 10 and 30
    }


def test_summary_compares_with_the_baseline(records: tuple[FrameRecord, ...]) -> None:
    (comparison,) = summarise(records, baseline="reference").comparisons
    assert (comparison.side, comparison.baseline) == ("bundle", "reference")
    assert comparison.overall is not None
    assert comparison.overall.pairs == 4
    assert comparison.overall.of_p50s == 25 / 32.5  # of (10, 20, 30, 60) and (20, 25, 40, 50)
    assert comparison.overall.median_of_pairs == pytest.approx((0.75 + 0.8) / 2)  # 0.5, 0.8, 0.75, 1.2
    assert comparison.by_path[1].of_p50s == 40 / 37.5
    assert comparison.by_path[2].median_of_pairs == pytest.approx((0.5 + 0.75) / 2)
    assert comparison.agreement is not None
    assert (comparison.agreement.frames, comparison.agreement.mean) == (5, 0.85)
    assert (comparison.agreement.worst, comparison.agreement.worst_frame) == (0.5, 3)
    assert comparison.agreement_by_path[1].worst == 1.0
    assert comparison.agreement_by_path[2].mean == 0.625


def test_summary_does_not_depend_on_the_order_of_records(records: tuple[FrameRecord, ...]) -> None:
    assert summarise(records[::-1], baseline="reference") == summarise(records, baseline="reference")


def test_the_first_frame_is_apart_even_where_no_frame_is_cold() -> None:
    frames = [
        FrameRecord(frame=i, side="bundle", path=1, cold=False, turn=0, host_call_ns=(9 - i) * MS)
        for i in range(3)
    ]
    side = summarise(frames, baseline="reference").sides["bundle"]
    assert [(f.frame, f.host_call_ms) for f in side.lead_in] == [(0, 9.0)]
    assert side.overall is not None
    assert side.overall.max_ms == 8.0


def test_without_a_baseline_there_is_no_comparison(records: tuple[FrameRecord, ...]) -> None:
    alone = [r for r in records if r.side == "bundle"]
    assert summarise(alone, baseline="reference").comparisons == ()


def test_only_cold_frames_leave_the_statistics_empty(records: tuple[FrameRecord, ...]) -> None:
    cold = [r for r in records if r.frame == 0]
    summary = summarise(cold, baseline="reference")
    assert summary.sides["bundle"].overall is None
    assert summary.sides["bundle"].by_path == {}
    assert summary.comparisons[0].overall is None
    assert summary.comparisons[0].by_path == {}
