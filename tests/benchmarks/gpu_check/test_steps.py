"""Questions that fail on their own."""

from __future__ import annotations

import logging

import pytest
from tests.benchmarks.gpu_check.doubles import Steps

from tdnet_bench.gpu_check.records import Measurement
from tdnet_bench.gpu_check.timing import timed
from tdnet_runtime.errors import BackendError


def measurement() -> Measurement:
    return Measurement(
        side="cuda",
        precision="fp16",
        captured=True,
        labels="host",
        clock="host call",
        timed=timed([(1, 5)], method="m"),
    )


def test_an_answer() -> None:
    steps = Steps()
    assert steps.log.ask("one", lambda: {"a": (1, 2)})
    assert steps.log.ask("nothing to say", lambda: None)
    assert steps.log.ask("times", lambda: [measurement(), measurement()])
    assert steps.log.ask("a time", measurement)
    assert [step.ok for step in steps] == [True] * 4
    assert steps["one"].value == {"a": [1, 2]}
    assert [len(step.measurements) for step in steps] == [0, 0, 2, 1]


def test_a_failure_costs_its_own_answer_alone() -> None:
    steps = Steps()

    def fails() -> int:
        logging.getLogger("tdnet_runtime.gpu").warning("the engine said %s", "no")
        logging.getLogger("tdnet_runtime.gpu").info("chatter")
        raise BackendError("it is broken")

    assert not steps.log.ask("one", fails)
    assert steps.log.make("two", lambda: 7, show=lambda value: value + 1) == 7
    assert steps["one"].error == "BackendError: it is broken"
    assert steps["one"].log == ("tdnet_runtime.gpu: the engine said no",)
    assert steps["two"].ok
    assert steps["two"].value == 8
    assert steps["two"].log == ()


def test_a_thing_that_cannot_be_shown_is_not_used() -> None:
    steps = Steps()
    assert steps.log.make("one", lambda: 7, show=lambda value: 1 // 0) is None
    assert "ZeroDivisionError" in (steps["one"].error or "")


def test_an_interrupt_is_no_answer() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Steps().log.ask("one", interrupted)
