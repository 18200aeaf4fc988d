"""How far each graph or path of a run's sides is from what its device can do: costs, times and ceilings together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any

import numpy as np
import numpy.typing as npt

from tdnet_bench.roofline.ceilings import BUDGET_S, measure_ceilings
from tdnet_bench.roofline.costs import bundle_costs
from tdnet_bench.roofline.gpu_limits import GPU_TYPES, gpu_ceilings, path_costs
from tdnet_bench.roofline.libraries import LIBRARIES
from tdnet_bench.roofline.model import Ceilings, Roofline, roofline_from_costs
from tdnet_bench.sides.bundle_side import BundleSide
from tdnet_bench.sides.gpu import Gpu
from tdnet_bench.sides.side import Array
from tdnet_bench.statistics.summary import SideSummary
from tdnet_runtime.backends.base import Backend, Binding, Buffer, Program, Session
from tdnet_runtime.backends.graph_precision import graphs_of
from tdnet_runtime.errors import MissingExtraError
from tdnet_runtime.extras import require
from tdnet_runtime.manifest import Manifest, TensorSpec
from tdnet_runtime.memory import StreamMemory, is_cold, path_index

__all__ = ["GraphClock", "Limits", "graph_times_ms", "measure_limits"]

Clock = Callable[[], int]


class GraphClock:
    """A session whose programs run graph by graph and keep each one's time, of every run since the start.

    For engines that compute on the host. (Elsewhere a run is complete only for outputs that the host sees.)
    """

    def __init__(self, session: Session, *, clock: Clock = time.perf_counter_ns) -> None:
        self.times_ns: dict[str, list[int]] = {}
        self._session = session
        self._clock = clock

    def allocate(self, spec: TensorSpec, *, host_visible: bool = False) -> Buffer:
        """See `Session.allocate`."""
        return self._session.allocate(spec, host_visible=host_visible)

    def prepare(self, bindings: Sequence[Binding]) -> Program:
        """See `Session.prepare`."""
        parts = [
            (self._session.prepare([(graph, tensors)]), self.times_ns.setdefault(graph, []))
            for graph, tensors in bindings
        ]
        return _TimedProgram(parts, self._clock)

    def close(self) -> None:
        """See `Session.close`."""
        self._session.close()


class _TimedProgram:
    def __init__(self, parts: Sequence[tuple[Program, list[int]]], clock: Clock) -> None:
        self._parts = parts
        self._clock = clock

    def run(self) -> None:
        """See `Program.run`."""
        for program, times_ns in self._parts:
            started_ns = self._clock()
            program.run()
            times_ns.append(self._clock() - started_ns)


def graph_times_ms(
    backend: Backend,
    manifest: Manifest,
    frames: Iterable[npt.NDArray[np.uint8]],
    *,
    clock: Clock = time.perf_counter_ns,
) -> Mapping[str, float]:
    """Median milliseconds of each graph, over the frames after each path's first warm one.

    Frames are uint8 RGB [H, W, 3] of the network's size; 3m or more, so that each path has a run that counts.
    """
    paths, cold_frames = len(manifest.paths), manifest.state.cold_frames
    timer = GraphClock(backend.session(), clock=clock)
    memory = StreamMemory(manifest.at(backend.precision), timer)
    try:
        for index, frame in enumerate(frames):
            if index == cold_frames + paths:  # every path has run warm
                for times_ns in timer.times_ns.values():
                    times_ns.clear()
            image = memory.image.host
            assert image is not None  # allocated host-visible
            image[0] = frame
            memory.run(path_index(index, paths), cold=is_cold(index, cold_frames))
        return {graph: float(np.median(times)) / 1e6 for graph, times in timer.times_ns.items() if times}
    finally:
        memory.release()
        timer.close()


_ROUNDS = 5  # of all paths; the cold ones and one more are not counted
_TYPES = {
    "fp32": {"float32": "fp32"},
    "bf16": {"float32": "bf16"},
    "int8": {"float32": "fp32", "int8": "int8"},
    "int8-bf16": {"float32": "bf16", "int8": "int8"},
}
"""By a side's precision: by a graph's type, the precision in which a CPU computes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The machine's ceilings, where any side was held against them, rooflines by side, and notes."""

    ceilings: Ceilings | None = None
    rooflines: dict[str, Roofline] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def measure_limits(
    sides: Sequence[object],
    images: Sequence[Array],
    *,
    threads: int,
    budget_s: float = BUDGET_S,
    figures: Mapping[str, SideSummary] | None = None,
) -> Limits:
    """Hold the sides against what their device can do: the subject's, and that of others on the same kind of device.

    On a CPU each graph of the sides that run the bundle is timed by itself, on `images` that are repeated as needed;
    on a GPU the device compute of each path is what was measured already (by side, in `figures`). Takes
    seconds, and memory of its own: to be done after everything else was measured.
    """
    subject = sides[0] if sides else None
    if isinstance(subject, BundleSide) and subject.gpu is not None:
        return _gpu_limits(subject, subject.gpu, sides, figures or {})
    notes = []
    chosen: list[BundleSide] = []
    for side in sides:
        if not isinstance(side, BundleSide):
            continue
        backend = side.segmenter.backend
        if backend.name in LIBRARIES and backend.precision in _TYPES:
            chosen.append(side)
        else:
            notes.append(
                f"{side.name} has no roofline: only engines that compute on the CPU are timed by graph"
            )
    if not chosen:
        return Limits(notes=tuple(notes))
    try:
        ceilings = measure_ceilings(
            tuple(dict.fromkeys(side.segmenter.backend.name for side in chosen)),
            threads=threads,
            budget_s=budget_s,
        )
        rooflines = {side.name: _roofline(side, images, ceilings) for side in chosen}
    except MissingExtraError as error:
        return Limits(notes=(*notes, f"rooflines were left out: {error}"))
    return Limits(ceilings=ceilings, rooflines=rooflines, notes=(*notes, *ceilings.notes))


def _gpu_limits(
    subject: BundleSide, gpu: Gpu, sides: Sequence[Any], figures: Mapping[str, SideSummary]
) -> Limits:
    bundle, notes, found = subject.segmenter.bundle, [], {}
    try:
        ceilings = gpu_ceilings(gpu, require("torch", extra="export"))
    except Exception as error:  # PyTorch without CUDA, a full GPU: the rest of the run does not depend on it
        return Limits(notes=(f"rooflines were left out: {error}",))
    for side in sides:
        precision = side.spec(camera=False).precision
        device = figures[side.name].device_by_path if side.name in figures else {}
        times = {f"path {path}": stats.p50_ms for path, stats in device.items()}
        if not times or precision not in bundle.manifest.precisions:
            notes.append(
                f"{side.name} has no roofline: no device compute, or no graphs in {precision} to count"
            )
            continue
        costs = path_costs(bundle.manifest, bundle_costs(bundle, precision=precision))
        found[side.name] = roofline_from_costs(
            costs, ceilings, times_ms=times, library="torch", precisions=GPU_TYPES
        )
    return Limits(ceilings=ceilings, rooflines=found, notes=tuple(notes))


def _roofline(side: BundleSide, images: Sequence[Array], ceilings: Ceilings) -> Roofline:
    segmenter = side.segmenter
    manifest, backend = segmenter.manifest, segmenter.backend
    count = manifest.state.cold_frames + _ROUNDS * len(manifest.paths)
    return roofline_from_costs(
        bundle_costs(segmenter.bundle, precision=graphs_of(backend.precision)),
        ceilings,
        times_ms=graph_times_ms(backend, manifest, islice(cycle(images), count)),
        library=backend.name,
        precisions=_TYPES[backend.precision],
    )
