"""Which frames are timed, in which order, and by which clock."""

from __future__ import annotations

import pytest
from tests.benchmarks.gpu_check.doubles import SPAN_MS, FakeGpu

from tdnet_bench.gpu_check.timing import WARM_UP_ROUNDS, Plan, alternate_calls, alternate_on_gpu, timed
from tdnet_runtime.errors import BackendError

PLAN = Plan(paths=2, rounds=3)


class Side:
    """Runs paths in turn; call n takes n ticks."""

    def __init__(self, log: list[str], name: str, now: list[int]) -> None:
        self.log, self.name, self.now = log, name, now
        self.calls = 0

    def push(self, frame: object) -> int:
        self.log.append(f"{self.name}{frame}")
        self.now[0] += self.calls
        self.calls += 1
        return (self.calls - 1) % 2 + 1


def test_the_sides_take_turns_and_warm_up_untimed() -> None:
    log: list[str] = []
    now = [0]
    sides = [Side(log, "a", now), Side(log, "b", now)]
    one, other = alternate_calls([side.push for side in sides], [0, 1, 2], PLAN, clock=lambda: now[0])
    assert log[:10] == ["a0", "b0", "a1", "b1", "a2", "b2", "a1", "b1", "a0", "b0"]
    first = WARM_UP_ROUNDS * 2
    assert one == other == [(n % 2 + 1, n) for n in range(first, first + 6)]


def test_events_are_read_after_a_wait() -> None:
    gpu = FakeGpu()
    (samples,) = alternate_on_gpu([Side([], "a", [0]).push], [0], PLAN, gpu=gpu, stream=gpu.stream())
    assert samples == [(path, round(SPAN_MS * 1e6)) for path in (1, 2) * 3]


def test_distribution_by_path() -> None:
    result = timed([(1, 1_000_000), (2, 3_000_000), (1, 2_000_000), (2, 5_000_000)], method="how")
    assert result.overall.p50_ms == 2.5
    assert {path: stats.p50_ms for path, stats in result.by_path.items()} == {1: 1.5, 2: 4.0}
    assert result.samples_us == {1: (1000.0, 2000.0), 2: (3000.0, 5000.0)}
    assert result.overall.p99_ms is None


def test_no_samples() -> None:
    with pytest.raises(BackendError, match="no frame was timed"):
        timed([], method="how")
