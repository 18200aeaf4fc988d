"""How long each graph of a bundle takes by itself, on the very buffers, state and sessions of a stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tdnet_runtime.backends.base import Backend, Binding, Buffer, Program, Session
from tdnet_runtime.manifest import Manifest, TensorSpec
from tdnet_runtime.memory import StreamMemory, is_cold, path_index

__all__ = ["GraphClock", "graph_times_ms"]

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
