from __future__ import annotations

import numpy as np
import pytest

from tdnet_bench.statistics.ratios import RESAMPLES, paired_ratio, unpaired_ratio


def test_ratios_are_of_medians_and_of_pairs() -> None:
    ratio = paired_ratio({1: 10, 2: 20, 3: 90}, {1: 40, 2: 30, 3: 60})
    assert ratio is not None
    assert ratio.pairs == 3
    assert ratio.of_p50s == 20 / 40  # medians of (10, 20, 90) and (30, 40, 60)
    assert ratio.median_of_pairs == 20 / 30  # of 0.25, 0.667, 1.5


def test_ratios_use_only_frames_that_both_have() -> None:
    ratio = paired_ratio({1: 10, 2: 99}, {1: 20, 3: 1})
    assert ratio is not None
    assert (ratio.pairs, ratio.of_p50s, ratio.median_of_pairs) == (1, 0.5, 0.5)
    assert (ratio.low, ratio.high) == (None, None)  # one pair has no interval
    assert paired_ratio({1: 10}, {2: 20}) is None


def test_the_interval_is_that_of_a_bootstrap_by_hand() -> None:
    rng = np.random.default_rng(7)
    ours = rng.integers(80, 120, 40)
    theirs = rng.integers(150, 260, 40)
    ratio = paired_ratio(dict(enumerate(ours.tolist())), dict(enumerate(theirs.tolist())))
    assert ratio is not None
    picks = np.random.default_rng(1).integers(0, 40, (RESAMPLES, 40))
    medians = np.median((ours / theirs)[picks], axis=1)  # frames are picked, not times
    low, high = np.percentile(medians, (2.5, 97.5))
    assert ratio.low == pytest.approx(low, abs=0.004)
    assert ratio.high == pytest.approx(high, abs=0.004)
    assert low < ratio.median_of_pairs < high


def test_pairs_stay_together() -> None:
    """Times that vary tenfold in step: as pairs the ratio is exact, unpaired it is anything but."""
    theirs = [100 + 50 * i for i in range(20)]
    ours = [time // 2 for time in theirs]
    paired = paired_ratio(dict(enumerate(ours)), dict(enumerate(theirs)))
    unpaired = unpaired_ratio(ours, theirs)
    assert paired is not None
    assert unpaired is not None
    assert (paired.low, paired.median_of_pairs, paired.high) == (0.5, 0.5, 0.5)
    assert unpaired.of_p50s == 0.5
    assert unpaired.low is not None
    assert unpaired.high is not None
    assert unpaired.low < 0.4
    assert unpaired.high > 0.6


def test_the_same_records_give_the_same_interval() -> None:
    ours, theirs = {i: 10 + i % 3 for i in range(9)}, {i: 20 + i % 4 for i in range(9)}
    assert paired_ratio(ours, theirs) == paired_ratio(ours, theirs)


def test_runs_of_different_lengths_are_compared_unpaired() -> None:
    ratio = unpaired_ratio([10, 20, 30], [40, 40])
    assert ratio is not None
    assert (ratio.samples, ratio.baseline_samples, ratio.of_p50s) == (3, 2, 0.5)
    assert (ratio.low, ratio.high) == (0.25, 0.75)
    assert unpaired_ratio([], [1]) is None
    one = unpaired_ratio([10], [20, 20])
    assert one is not None
    assert (one.of_p50s, one.low, one.high) == (0.5, None, None)
