"""How long loading takes, and the forms to load from: the graphs as the bundle has them, or optimised beforehand.

An optimised graph is written by the ONNX Runtime that is to load it: that is the best case, since a bundle would have to
be made for each of its versions and, where the layout is in the graph, for each kind of processor.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from tdnet_bench.loops.schedule import turn_order
from tdnet_bench.ort_settings.records import LoadRecord
from tdnet_bench.records.record import Record
from tdnet_bench.sides.side import Clock, Tick
from tdnet_runtime.backends.onnxruntime import load_graph, session_options
from tdnet_runtime.errors import BackendError

__all__ = ["FORMS", "REPEATS", "Form", "graphs_in_form", "sessions_of_form", "timed_loads"]

REPEATS = 9


class Form(Record, frozen=True, kw_only=True):
    """A form in which graphs could be kept.

    Attributes:
        name: of the form.
        why: what it is, or why one might want it.
        written: level of `onnxruntime.GraphOptimizationLevel` at which it was optimised; None: not at all.
        loaded: level at which it is loaded.
        suffix: of its files: `onnx`, or `ort` for ONNX Runtime's own format.
    """

    name: str
    why: str
    written: str | None
    loaded: str
    suffix: str = "onnx"


FORMS = (
    Form(name="as exported", why="what the bundle has", written=None, loaded="ORT_ENABLE_ALL"),
    Form(
        name="extended",
        why="for any processor; runs without its layout",
        written="ORT_ENABLE_EXTENDED",
        loaded="ORT_DISABLE_ALL",
    ),
    Form(
        name="extended, then all",
        why="for any processor; its layout is found when it is loaded",
        written="ORT_ENABLE_EXTENDED",
        loaded="ORT_ENABLE_ALL",
    ),
    Form(
        name="all",
        why="runs as fast; for one kind of processor",
        written="ORT_ENABLE_ALL",
        loaded="ORT_DISABLE_ALL",
    ),
    Form(
        name="all, ORT format",
        why="likewise; nothing to parse",
        written="ORT_ENABLE_ALL",
        loaded="ORT_DISABLE_ALL",
        suffix="ort",
    ),
)


def graphs_in_form(form: Form, graphs: Mapping[str, bytes], ort: Any, *, threads: int) -> dict[str, bytes]:
    """The graphs, optimised and written again as `form` says.

    Args:
        form: the form.
        graphs: by name, as exported.
        ort: the module `onnxruntime`.
        threads: of the sessions.

    Raises:
        BackendError: ONNX Runtime refuses a graph, or cannot write it (a full disk).
    """
    if form.written is None:
        return dict(graphs)
    found = {}
    with TemporaryDirectory(prefix="ort-settings-") as folder:
        for name, data in graphs.items():
            path = Path(folder) / f"{name}.{form.suffix}"
            options = _options(ort, threads, form.written)
            options.optimized_model_filepath = str(path)
            load_graph(ort, name, data, options)
            try:
                found[name] = path.read_bytes()
            except OSError as error:
                raise BackendError(
                    f"ONNX Runtime wrote no optimised graph {name!r}: {error.strerror or error}; "
                    "make room for temporary files"
                ) from error
    return found


def sessions_of_form(form: Form, graphs: Mapping[str, bytes], ort: Any, *, threads: int) -> dict[str, Any]:
    """ONNX Runtime's sessions of all graphs, loaded as `form` says, by graph.

    Args:
        form: the form.
        graphs: by name, in that form.
        ort: the module `onnxruntime`.
        threads: of the sessions.

    Raises:
        BackendError: ONNX Runtime refuses a graph.
    """
    options = _options(ort, threads, form.loaded)
    return {name: load_graph(ort, name, data, options) for name, data in graphs.items()}


def timed_loads(
    loads: Mapping[str, Callable[[], dict[str, Any]]],
    of: Literal["variant", "form"],
    *,
    repeats: int = REPEATS,
    clock: Clock = time.perf_counter_ns,
    tick: Tick = lambda: None,
) -> Iterator[LoadRecord]:
    """Load in all ways in each repeat, the order rotating as `turn_order` has it.

    Args:
        loads: by name, what loads all graphs and gives their sessions.
        of: what the names are of.
        repeats: loads in each way.
        clock: monotonic, in nanoseconds.
        tick: called after each load.

    Raises:
        BackendError: ONNX Runtime refuses a graph.
    """
    names = tuple(loads)
    for repeat in range(repeats):
        for turn, place in enumerate(turn_order(repeat, paths=1, sides=len(names))):
            started_ns = clock()
            sessions = loads[names[place]]()
            load_ns = clock() - started_ns
            sessions.clear()  # now, so that giving memory back is in nobody's time
            yield LoadRecord(of=of, name=names[place], repeat=repeat, turn=turn, load_ns=load_ns)
            tick()


def _options(ort: Any, threads: int, level: str) -> Any:
    options = session_options(ort, threads)
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    return options
