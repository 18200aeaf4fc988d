"""The variants against the clock: every graph by every variant before any one runs again."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tdnet_bench.loops.back_to_back import PAUSE_MS
from tdnet_bench.loops.schedule import turn_order
from tdnet_bench.ort_settings.records import CallRecord, VariantRecord
from tdnet_bench.ort_settings.variants import Variant, variant_options
from tdnet_bench.ort_settings.workload import Workload
from tdnet_bench.sides.side import Array, Clock, Sleep, Tick
from tdnet_runtime.backends.base import Program
from tdnet_runtime.backends.onnxruntime import HostSession, load_graph
from tdnet_runtime.errors import BackendError

__all__ = ["BoundVariant", "bind_variant", "sessions_of_variant", "timed_calls"]

_NO_CLASS = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundVariant:
    """A variant that is ready to run.

    Attributes:
        name: of the variant.
        programs: by graph, in the order of a frame.
    """

    name: str
    programs: Mapping[str, Program]

    def warm_up(self, workload: Workload, *, expected: Array | None) -> VariantRecord:
        """Run a frame that does not count.

        Args:
            workload: whose buffers the programs are bound to.
            expected: labels of base; None if this is base.

        Raises:
            BackendError: the engine failed.
        """
        workload.labels.fill(_NO_CLASS)  # so that labels of the variant before are not taken for its own
        for program in self.programs.values():
            program.run()
        equal = 1.0 if expected is None else float(np.mean(workload.labels == expected))
        return VariantRecord(variant=self.name, labels_equal=equal)


def sessions_of_variant(variant: Variant, graphs: Mapping[str, bytes], ort: Any) -> dict[str, Any]:
    """ONNX Runtime's sessions of all graphs with the variant's settings, by graph.

    Args:
        variant: the settings.
        graphs: by name.
        ort: the module `onnxruntime`.

    Raises:
        BackendError: ONNX Runtime refuses the settings or a graph.
    """
    try:
        options = variant_options(variant, ort)
        return {name: load_graph(ort, name, data, options) for name, data in graphs.items()}
    except BackendError as error:
        raise BackendError(f"measuring the settings {variant.name!r}: {error}") from error


def bind_variant(variant: Variant, workload: Workload, ort: Any) -> BoundVariant:
    """Load the graphs with the variant's settings and bind them as the runtime does; see `sessions_of_variant`."""
    session = HostSession(sessions_of_variant(variant, workload.graphs, ort), ort)
    programs = {name: session.prepare([(name, buffers)]) for name, buffers in workload.bindings}
    return BoundVariant(name=variant.name, programs=programs)


def timed_calls(
    variants: tuple[BoundVariant, ...],
    *,
    rounds: int,
    pause_ms: float = PAUSE_MS,
    clock: Clock = time.perf_counter_ns,
    sleep: Sleep = time.sleep,
    tick: Tick = lambda: None,
) -> Iterator[CallRecord]:
    """Run every graph with every variant in each round, the order rotating as `turn_order` has it.

    Args:
        variants: warm.
        rounds: of all variants.
        pause_ms: idle time before each call, in which the threads of the one before come to rest.
        clock: monotonic, in nanoseconds.
        sleep: pauses for so many seconds.
        tick: called after each call.

    Raises:
        BackendError: the engine failed.
    """
    for index in range(rounds):
        order = turn_order(index, paths=1, sides=len(variants))
        for graph in variants[0].programs:
            for turn, place in enumerate(order):
                program = variants[place].programs[graph]
                sleep(pause_ms / 1e3)
                started_ns = clock()
                program.run()
                spent_ns = clock() - started_ns
                yield CallRecord(
                    round=index, graph=graph, variant=variants[place].name, turn=turn, call_ns=spent_ns
                )
                tick()
