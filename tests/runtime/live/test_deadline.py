import pytest

from tdnet_runtime.errors import OptionError
from tdnet_runtime.live.deadline import Deadline, Ladder

RULES = {"misses": 2, "recovery": 3, "margin": 0.8}


def modes(ladder, latencies_ms):
    found = []
    for ms in latencies_ms:
        ladder.note(ms)
        found.append(ladder.mode)
    return found


def test_down_one_mode_at_a_time_and_up_again():
    ladder = Ladder(Deadline(ms=100, degrade=("half_rate", "hold"), **RULES))
    assert modes(ladder, [150, 50, 150]) == ["full", "full", "half_rate"]
    assert modes(ladder, [150, 150, 150, 150]) == ["half_rate", "hold", "hold", "hold"]
    assert modes(ladder, [50, 50, 50]) == ["hold", "hold", "half_rate"]
    assert modes(ladder, [50, 50, 50]) == ["half_rate", "half_rate", "full"]


def test_in_time_but_only_just_is_no_recovery():
    ladder = Ladder(Deadline(ms=100, degrade=("hold",), **RULES))
    assert modes(ladder, [150, 150])[-1] == "hold"
    assert set(modes(ladder, [90] * 20)) == {"hold"}


def test_late_ones_far_apart_change_nothing():
    ladder = Ladder(Deadline(ms=100, degrade=("hold",), **RULES))
    assert set(modes(ladder, [150, 50, 50, 50] * 9)) == {"full"}


def test_a_recovery_that_was_too_early_takes_twice_as_many_the_next_time():
    ladder = Ladder(Deadline(ms=100, degrade=("hold",), **RULES))
    modes(ladder, [150, 150])
    for needed in (3, 6, 12, 24, 48, 48):
        assert modes(ladder, [50] * needed) == ["hold"] * (needed - 1) + ["full"]
        assert modes(ladder, [150, 150]) == ["full", "hold"]
    assert modes(ladder, [50] * 48)[-1] == "full"
    modes(ladder, [50] * 100)  # it held: forgiven
    modes(ladder, [150, 150])
    assert modes(ladder, [50] * 3)[-1] == "full"


def test_without_modes_it_stays_in_full():
    assert set(modes(Ladder(Deadline(ms=1, **RULES)), [50] * 20)) == {"full"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ms": 0}, "a deadline of 0 ms: expected more than 0"),
        ({"ms": float("nan")}, "a deadline of nan ms"),
        ({"ms": 5, "late": "drop"}, "expected 'deliver' or 'skip'"),
        ({"ms": 5, "degrade": ("faster",)}, "expected a tuple of no_attention, smaller, half_rate, hold"),
        ({"ms": 5, "degrade": "hold"}, "expected a tuple of no_attention, smaller, half_rate, hold"),
        ({"ms": 5, "degrade": ("hold", "hold")}, "a mode is named twice"),
        ({"ms": 5, "margin": 0}, "a margin above 0"),
        ({"ms": 5, "hold_ms": 0}, r"hold_ms=0\): expected more than 0"),
        ({"ms": 5, "recovery": 0}, "expected 1 or more"),
    ],
)
def test_what_cannot_be_meant(options, message):
    with pytest.raises(OptionError, match=message):
        Deadline(**options)


def test_modes_that_can_be_read_once():
    assert Deadline(ms=1, degrade=iter(["half_rate", "hold"])) == Deadline(
        ms=1, degrade=("half_rate", "hold")
    )
    with pytest.raises(OptionError, match=r"\('hold', 'hold'\)\): a mode is named twice"):
        Deadline(ms=1, degrade=(mode for mode in ("hold", "hold")))
