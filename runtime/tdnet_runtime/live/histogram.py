"""Durations by the bucket, so that a year of frames takes no more memory than an hour.

>>> times = Histogram()
>>> for ms in (3.0, 4.0, 30.0):
...     times.add(ms)
>>> times.share_below(0.5), times.count
(4.0, 3)
"""

from __future__ import annotations

from bisect import bisect_left

__all__ = ["BOUNDS_MS", "Histogram"]

BOUNDS_MS = (0.5, 1, 2, 3, 4, 6, 8, 11, 16, 22, 33, 45, 66, 100, 150, 200, 300, 500, 1000, 2000, 5000, 10_000)
"""Upper bounds of the buckets but for the last, which has none."""


class Histogram:
    """Written to by one thread; others may read counts that are a frame old.

    Attributes:
        counts: durations in each bucket, the last one without a bound.
        count: of all.
        sum_ms: of all.
        most_ms: the longest.
    """

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_MS) + 1)
        self.count = 0
        self.sum_ms = 0.0
        self.most_ms = 0.0

    def add(self, ms: float) -> None:
        """Count one."""
        self.counts[bisect_left(BOUNDS_MS, ms)] += 1
        self.count += 1
        self.sum_ms += ms
        self.most_ms = max(self.most_ms, ms)

    def share_below(self, share: float) -> float:
        """The bound below which this share of them is (0.99 for the 99th percentile), or the longest if that is less."""
        wanted, seen = share * self.count, 0
        for bound, count in zip(BOUNDS_MS, self.counts, strict=False):
            seen += count
            if seen >= wanted:
                return min(float(bound), self.most_ms)
        return self.most_ms
