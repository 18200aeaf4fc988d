"""What one stream has in OpenVINO: its arrays, and a request for each graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from tdnet_runtime.backends.base import Binding, Buffer, Program, SplitProgram
from tdnet_runtime.backends.host import HostBuffer
from tdnet_runtime.backends.label_tail import LabelTails
from tdnet_runtime.backends.past_split import PastBuffers
from tdnet_runtime.errors import BackendError
from tdnet_runtime.manifest import TensorSpec

__all__ = ["OpenVinoSession", "checked"]


@contextmanager
def checked(doing: str) -> Iterator[None]:
    """Raise BackendError, in one line, for what OpenVINO raises in here."""
    try:
        yield
    except Exception as error:  # OpenVINO raises RuntimeError and pybind11's own
        raise BackendError(f"{doing}: {' '.join(str(error).split())}") from error  # it breaks its lines


class SetGraphs:
    """Graphs in order, each with a request whose tensors never change.

    Args:
        requests: by the graph's name, with what is called for the labels after each, if anything.
        done: what is called after each graph, with its name.
    """

    def __init__(
        self,
        requests: Sequence[tuple[str, Any, Callable[[], None] | None]],
        done: Callable[[str], None] | None,
    ) -> None:
        self._requests = requests
        self._done = done

    def run(self) -> None:
        """See `Program.run`."""
        for graph, request, finish in self._requests:
            with checked(f"OpenVINO failed in graph {graph!r}"):
                request.infer(share_outputs=True)  # the result, which would be a copy, is not used
                if finish is not None:
                    finish()
                if self._done is not None:
                    self._done(graph)


class OpenVinoSession:
    """Buffers and requests of one stream.

    Args:
        compiled: models, by graph; the backend's own.
        pasts: models, by graph, for the first parts of those that were split; the backend's own.
        tensor: the class `openvino.Tensor`.
        tails: what makes labels of its scores; its own.
        between: what its first parts hand over; its own.
        share_scratch: see `OpenVinoBackend`.
    """

    def __init__(
        self,
        compiled: dict[str, Any],
        pasts: dict[str, Any],
        tensor: Any,
        *,
        tails: LabelTails,
        between: PastBuffers,
        share_scratch: bool,
    ) -> None:
        self._compiled = compiled
        self._pasts = pasts
        self._tensor = tensor
        self._tails = tails
        self._between = between
        self._share_scratch = share_scratch

    def allocate(self, spec: TensorSpec, *, host_visible: bool = False) -> Buffer:
        """See `Session.allocate`; all memory is the host's."""
        return HostBuffer(spec)

    def prepare(self, bindings: Sequence[Binding]) -> Program:
        """See `Session.prepare`."""
        past, bindings = self._between.bound(bindings)
        rest = []
        for graph, tensors in bindings:
            tensors, finish = self._tails.bound(graph, tensors)
            rest.append((graph, self._request(graph, self._compiled[graph], tensors), finish))
        done = self._release_scratch if self._share_scratch else None
        if not past:
            return SetGraphs(rest, done)
        first = [(graph, self._request(graph, self._pasts[graph], tensors), None) for graph, tensors in past]
        # 14 MiB a path at 769x1537, which take no time to come back (docs/cpu.md)
        return SplitProgram(SetGraphs(first, self._release_past), SetGraphs(rest, done))

    def _request(self, graph: str, compiled: Any, tensors: Mapping[str, Buffer]) -> Any:
        """A request on these buffers, of which the model may need a part."""
        with checked(f"setting the tensors of graph {graph!r}"):
            request = compiled.create_infer_request()
            for port in (*compiled.inputs, *compiled.outputs):
                # A Cast from bool to uint8 vanishes (2026.4): its port then has both values' names, in any order.
                (name,) = port.get_names() & tensors.keys()
                array = tensors[name].host
                request.set_tensor(port, self._tensor(array, shared_memory=True))
            return request

    def _release_scratch(self, graph: str) -> None:
        with suppress(RuntimeError):  # another stream runs it, and gives it back
            self._compiled[graph].release_memory()

    def _release_past(self, graph: str) -> None:
        with suppress(RuntimeError):
            self._pasts[graph].release_memory()

    def close(self) -> None:
        """See `Session.close`."""
        self._compiled = self._pasts = {}
        self._tails, self._between = LabelTails({}), PastBuffers({})
