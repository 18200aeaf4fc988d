"""Which parts, in which order, for how long; and what may be asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tdnet_bench.gpu_check.options import CheckOptions, parse_limits
from tdnet_bench.gpu_check.schedule import LIMITS_S, MIN_LIMIT_S, Slot, limit_of, slots
from tdnet_runtime.errors import OptionError

SIZES = {"one": (769, 1537), "two": (769, 1537), "small": (193, 385)}


def test_order() -> None:
    order = slots(SIZES)
    assert [slot for slot in order if slot.part == "frames"] == [
        Slot("frames", "one"),
        Slot("frames", "small"),
    ]
    assert order.index(Slot("pytorch", "small")) < order.index(Slot("reference", "one"))
    assert order.index(Slot("frames", "small")) < order.index(Slot("cuda", "one"))
    assert order[-1] == Slot("benchmark", "small")
    assert {slot.part for slot in order} == LIMITS_S.keys()
    assert len(order) == len(set(order))


def test_left_out_parts() -> None:
    assert {slot.part for slot in slots(SIZES, skip=("cuda", "tests"))} == LIMITS_S.keys() - {"cuda", "tests"}


def test_limits() -> None:
    assert limit_of("cuda", limits_s={}, left_s=1000) == LIMITS_S["cuda"]
    assert limit_of("cuda", limits_s={"cuda": 7}, left_s=1000) == 7
    assert limit_of("cuda", limits_s={"cuda": 2}, left_s=1000) == 2
    assert limit_of("cuda", limits_s={}, left_s=20) == 20
    assert limit_of("cuda", limits_s={}, left_s=MIN_LIMIT_S - 1) is None
    assert limit_of("cuda", limits_s={"cuda": 2}, left_s=-3) is None


def test_limits_in_words() -> None:
    assert parse_limits(["cuda=30", "tests=1.5"]) == {"cuda": 30.0, "tests": 1.5}
    for wrong in ("cuda", "cuda=", "cuda=x", "cuda=0", "cuda=-1", "cuda=nan"):
        with pytest.raises(OptionError, match="expected cuda=SECONDS"):
            parse_limits([wrong])
    with pytest.raises(OptionError, match="knows no part 'warp'"):
        parse_limits(["warp=1"])


def test_options(tmp_path: Path) -> None:
    plan, other = tmp_path / "a.plan", tmp_path / "more" / "a.plan"
    other.parent.mkdir()
    plan.touch()
    other.touch()
    CheckOptions(plans=(plan,), out=tmp_path)
    wrong: dict[str, dict[str, object]] = {
        "--plan is missing": {"plans": ()},
        "two bundles are called 'a'": {"plans": (plan, other)},
        "--plan is no file": {"plans": (tmp_path / "b.plan",)},
        "--ckpt is no file": {"ckpts": (tmp_path,)},
        "--skip knows no part": {"skip": ("warp",)},
        "--out is no folder": {"out": plan},
    }
    for message, given in wrong.items():
        with pytest.raises(OptionError, match=message):
            CheckOptions(**({"plans": (plan,), "out": tmp_path} | given))  # type: ignore[arg-type]
