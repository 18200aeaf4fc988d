"""The loop: who runs when, and what the clock covers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tdnet_bench.ort_settings.calls import BoundVariant, bind_variant, timed_calls
from tdnet_bench.ort_settings.variants import Variant
from tdnet_bench.ort_settings.workload import Workload
from tdnet_runtime.errors import BackendError

NAMES = ("base", "b", "c")


class World:
    """A clock that only work and sleep move, and a diary."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.diary: list[tuple[str, str]] = []

    def clock(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        assert seconds == 0.02
        self.now_ns += 20_000_000

    def program(self, variant: str, graph: str, ns: int) -> Any:
        world = self

        class Program:
            def run(self) -> None:
                world.diary.append((variant, graph))
                world.now_ns += ns

        return Program()


def test_every_graph_by_every_variant_before_any_one_runs_again() -> None:
    world = World()
    durations = {
        ("base", "s"): 5,
        ("base", "a"): 7,
        ("b", "s"): 11,
        ("b", "a"): 13,
        ("c", "s"): 17,
        ("c", "a"): 19,
    }
    variants = tuple(
        BoundVariant(
            name=name,
            programs={graph: world.program(name, graph, durations[name, graph]) for graph in ("s", "a")},
        )
        for name in NAMES
    )
    ticks: list[int] = []
    records = list(
        timed_calls(variants, rounds=6, clock=world.clock, sleep=world.sleep, tick=lambda: ticks.append(1))
    )
    orders = ["base b c", "b c base", "c base b", "base c b", "b base c", "c b base"]  # both directions
    expected = [
        (index, graph, variant, turn)
        for index, order in enumerate(orders)
        for graph in ("s", "a")
        for turn, variant in enumerate(order.split())
    ]
    assert [(r.round, r.graph, r.variant, r.turn) for r in records] == expected
    assert world.diary == [(variant, graph) for _, graph, variant, _ in expected]
    assert all(r.call_ns == durations[r.variant, r.graph] for r in records)  # the pause is in nobody's time
    assert len(ticks) == 36


def test_labels_are_compared_with_bases() -> None:
    buffer = np.zeros((1, 2, 2), np.uint8)

    class Writes:
        def __init__(self, values: list[int]) -> None:
            self.values = values

        def run(self) -> None:
            buffer.reshape(-1)[: len(self.values)] = self.values

    def record(values: list[int], expected: list[int] | None) -> float:
        variant = BoundVariant(name="v", programs={"apm1": Writes(values)})
        workload = Workload(graphs={}, bindings=(), labels=buffer)
        against = None if expected is None else np.array(expected, np.uint8).reshape(1, 2, 2)
        found = variant.warm_up(workload, expected=against)
        assert found.variant == "v"
        return found.labels_equal

    assert record([1, 2, 3, 4], None) == 1
    assert record([1, 2, 3, 4], [1, 2, 3, 4]) == 1
    assert record([1, 2, 0, 4], [1, 2, 3, 4]) == 0.75
    assert record([], [1, 2, 0, 4]) == 0  # what the one before it left there does not count


def test_settings_that_are_refused_are_named() -> None:
    ort = pytest.importorskip("onnxruntime")
    workload = Workload(graphs={"subnet1": b"no graph"}, bindings=(), labels=np.zeros(1, np.uint8))
    with pytest.raises(
        BackendError, match=r"^measuring the settings 'odd': ONNX Runtime cannot load graph 'subnet1': "
    ):
        bind_variant(Variant(name="odd", why="", threads=1), workload, ort)


def test_programs_are_bound_to_the_workloads_buffers(tiny_bundle: Callable[[str], Path]) -> None:
    """With the graphs of a bundle; see test_workload.py for what is in the buffers."""
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("torch")
    from tdnet_bench.ort_settings.workload import workload_of
    from tdnet_runtime import Segmenter

    with Segmenter.open(
        tiny_bundle("td2-fa18"), backend="onnxruntime", precision="fp32", threads=1
    ) as segmenter:
        workload = workload_of(segmenter)
    expected = workload.labels.copy()
    loaded = bind_variant(Variant(name="v", why="", threads=1), workload, ort)
    assert list(loaded.programs) == ["subnet1", "apm1"]
    assert loaded.warm_up(workload, expected=expected).labels_equal == 1
