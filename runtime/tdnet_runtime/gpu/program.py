"""One path's graphs, bound to their buffers; captured as one CUDA graph where that works."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tdnet_runtime.errors import BackendError
from tdnet_runtime.gpu.buffers import DeviceBuffer
from tdnet_runtime.gpu.device import CapturedGraph, GpuStream
from tdnet_runtime.gpu.engine import Engine, EngineContext
from tdnet_runtime.poison import PROBE, poison_of

__all__ = ["BoundGraph", "PathWork", "bind", "first_run", "obstacle_to_capture", "self_test"]


@dataclass(frozen=True, slots=True, eq=False)
class BoundGraph:
    """A graph with addresses for all of its tensors."""

    name: str
    context: EngineContext


class PathWork:
    """What a path puts on the stream.

    Args:
        bound: the graphs in order.
        inputs: buffers that are read and not written by the graphs.
        outputs: buffers that the graphs write, by tensor name.

    Attributes:
        graph: the captured work; None where it is enqueued graph by graph.
        obstacle: why it is not captured; None where it is.
    """

    def __init__(
        self,
        bound: Sequence[BoundGraph],
        *,
        inputs: Mapping[str, DeviceBuffer],
        outputs: Mapping[str, DeviceBuffer],
    ) -> None:
        self.bound = tuple(bound)
        self.inputs = dict(inputs)
        self.outputs = dict(outputs)
        self.graph: CapturedGraph | None = None
        self.obstacle: str | None = None

    def enqueue(self, stream: GpuStream) -> None:
        """Put the graphs on the stream, one after the other."""
        for graph in self.bound:
            graph.context.enqueue(stream.handle)

    def put(self, stream: GpuStream) -> None:
        """Put the work on the stream, as one launch where it is captured."""
        if self.graph is None:
            self.enqueue(stream)
        else:
            stream.launch(self.graph)


def bind(
    graph: str,
    engine: Engine,
    context: EngineContext,
    buffers: Mapping[str, DeviceBuffer],
) -> BoundGraph:
    """Give a context the addresses of its tensors."""
    for tensor in engine.tensors:
        context.set_address(tensor.name, buffers[tensor.name].memory.address)
    return BoundGraph(graph, context)


def obstacle_to_capture(work: PathWork, stream: GpuStream) -> str | None:
    """What an engine says against capturing; None where none of them says anything."""
    for graph in work.bound:
        reason = graph.context.obstacle_to_capture(stream.handle)
        if reason is not None:
            return f"graph {graph.name!r}: {reason}"
    return None


def first_run(work: PathWork, stream: GpuStream) -> dict[str, npt.NDArray[np.uint8]]:
    """Run graph by graph on probe values; what each output then holds, byte for byte.

    This run also does what an engine puts off until its first: it must come before capturing.

    Raises:
        BackendError: it failed, or left an output untouched.
    """
    result = _outputs(work, stream, work.enqueue)
    for name, values in result.items():
        if (values == poison_of(name)).all():
            raise BackendError(
                f"{_names(work)} ran without an error and wrote nothing to {name!r}; is the right GPU current, and "
                "was the engine built for it?"
            )
    return result


def self_test(work: PathWork, stream: GpuStream, plain: Mapping[str, npt.NDArray[np.uint8]]) -> None:
    """Compare the captured graph's outputs with those of the plain run, `plain`.

    Raises:
        BackendError: they differ, or the launch failed.
    """
    replayed = _outputs(work, stream, work.put)
    wrong = {name: float((replayed[name] != values).mean()) for name, values in plain.items()}
    wrong = {name: share for name, share in wrong.items() if share}
    if wrong:
        shares = ", ".join(f"{name} in {share:.2%} of its bytes" for name, share in wrong.items())
        raise BackendError(f"the captured {_names(work)} gave other results than the plain run: {shares}")


def _outputs(
    work: PathWork, stream: GpuStream, put: Callable[[GpuStream], None]
) -> dict[str, npt.NDArray[np.uint8]]:
    """Run on probe values and poisoned outputs; the outputs' bytes."""
    for buffer in work.inputs.values():
        stream.fill(buffer.memory, PROBE)
    for name, buffer in work.outputs.items():
        stream.fill(buffer.memory, poison_of(name))
    put(stream)
    return {name: buffer.dump().reshape(-1).view(np.uint8) for name, buffer in work.outputs.items()}


def _names(work: PathWork) -> str:
    return " and ".join(repr(graph.name) for graph in work.bound)
