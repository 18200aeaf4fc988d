"""Path 1's graphs in ONNX Runtime as the backend sets it up, and with each other setting by itself.

    python benchmarks/experiments/ort_settings.py X.plan [ROUNDS]

What docs/adr/0004 was decided from, in a page: every graph with every setting before any one runs again, on random
values; medians, and those of the ratios in a round. The committed files were made by a longer program
(tdnet_bench.ort_settings, last at commit 0b1426a), which had intervals, and loaded graphs optimised beforehand, too.
"""

from __future__ import annotations

import sys
import time
from statistics import median
from typing import Any

import numpy as np

from tdnet_bench.loops.schedule import turn_order
from tdnet_runtime import Bundle
from tdnet_runtime.backends.cpu_count import usable_cpus
from tdnet_runtime.backends.no_telemetry import import_without_telemetry
from tdnet_runtime.backends.onnxruntime import load_graph
from tdnet_runtime.backends.ort_options import session_options
from tdnet_runtime.manifest import GraphSpec

ort = import_without_telemetry("onnxruntime")
PAUSE_S = 0.02  # threads of the call before come to rest
OWN_ALLOCATOR = {"session.use_env_allocators": "0"}
VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "1 thread": {"threads": 1},
    "1 thread more": {"threads": usable_cpus() + 1},
    "spinning": {"entries": {"session.intra_op.allow_spinning": "1"}},
    "denormals as zero": {"entries": {"session.set_denormal_as_zero": "1"}},
    "basic optimisation": {"level": "ORT_ENABLE_BASIC"},
    "extended optimisation": {"level": "ORT_ENABLE_EXTENDED"},
    "no arena": {"entries": OWN_ALLOCATOR, "enable_cpu_mem_arena": False},
    "own arena, patterns": {"entries": OWN_ALLOCATOR, "enable_mem_pattern": True},
    "no prepacking": {"entries": {"session.disable_prepacking": "1"}},
}
"""Threads, entries of the session's configuration, level of optimisation, further attributes of its options."""


def session(name: str, data: bytes, variant: str) -> Any:
    """Of one graph with one variant's settings."""
    given = {"threads": usable_cpus(), "entries": {}, "level": "ORT_ENABLE_ALL"} | VARIANTS[variant]
    options = session_options(ort, given.pop("threads"), entries=given.pop("entries"))
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, given.pop("level"))
    for attribute, value in given.items():
        setattr(options, attribute, value)
    return load_graph(ort, name, data, options)


def measure(graph: GraphSpec, data: bytes, rounds: int) -> None:
    """Print a row for each variant."""
    values = np.random.default_rng(0)
    feeds = {t.name: (50 * values.random(t.shape)).astype(t.dtype) for t in graph.inputs}
    sessions = {variant: session(graph.name, data, variant) for variant in VARIANTS}
    times: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for index in range(-1, rounds):  # one before those that count
        for place in turn_order(max(index, 0), paths=1, sides=len(VARIANTS)):
            variant = list(VARIANTS)[place]
            time.sleep(PAUSE_S)
            started = time.perf_counter()
            sessions[variant].run(None, feeds)
            times[variant] += [1e3 * (time.perf_counter() - started)][: index + 1]
    for variant, of_it in times.items():
        ratio = median(mine / base for mine, base in zip(of_it, times["base"], strict=True))
        sys.stdout.write(f"| {graph.name} | {variant} | {median(of_it):.2f} | {ratio:.3f} |\n")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python benchmarks/experiments/ort_settings.py X.plan [ROUNDS]")
    sys.stdout.write("| graph | settings | ms | over base |\n|---|---|---|---|\n")
    with Bundle.open(sys.argv[1]) as bundle:
        path = bundle.manifest.paths[0]
        for graph in (bundle.manifest.graph(name) for name in (path.subnet, path.apm) if name):
            measure(graph, bundle.read(graph.members["fp32"]), int((*sys.argv, 16)[2]))
