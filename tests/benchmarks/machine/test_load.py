from __future__ import annotations

import time

import pytest

from tdnet_bench.machine.environment import OtherLoad


@pytest.mark.parametrize(
    ("own_s", "all_s", "elapsed_s", "busy_cores"),
    [
        (1.0, 4.0, 2.0, 1.5),
        (3.0, 3.0, 2.0, 0.0),  # all of it was ours
        (3.5, 3.0, 2.0, 0.0),  # the two clocks tick differently
        (0.0, 9.0, 2.0, 2.0),  # no more than there are
    ],
)
def test_what_is_not_ours_is_the_others(
    monkeypatch: pytest.MonkeyPatch, own_s: float, all_s: float, elapsed_s: float, busy_cores: float
) -> None:
    readings = iter([(100.0, 1000.0), (100.0 + own_s, 1000.0 + all_s)])
    clock = iter([50.0, 50.0 + elapsed_s])
    monkeypatch.setattr(OtherLoad, "_read", lambda load: next(readings))
    monkeypatch.setattr(OtherLoad, "usable_cores", 2)
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    assert OtherLoad().busy_cores() == busy_cores


def test_this_machine_can_be_watched() -> None:
    load = OtherLoad()
    assert load.usable_cores >= 1
    assert 0 <= load.busy_cores() <= load.usable_cores
