"""What one stream has in OpenVINO: its arrays, and a request for each graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from tdnet_runtime.backends.base import Binding, Buffer, Program
from tdnet_runtime.backends.host import HostBuffer
from tdnet_runtime.backends.label_tail import LabelTails
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
        requests: by the graph's name, with what is called for the labels after each.
        done: what is called after each graph, with its name.
    """

    def __init__(
        self, requests: list[tuple[str, Any, Callable[[], None]]], done: Callable[[str], None] | None
    ) -> None:
        self._requests = requests
        self._done = done

    def run(self) -> None:
        """See `Program.run`."""
        for graph, request, finish in self._requests:
            with checked(f"OpenVINO failed in graph {graph!r}"):
                request.infer(share_outputs=True)  # the result, which would be a copy, is not used
                finish()
                if self._done is not None:
                    self._done(graph)


class OpenVinoSession:
    """Buffers and requests of one stream.

    Args:
        compiled: models, by graph; the backend's own.
        tensor: the class `openvino.Tensor`.
        scores: see `LabelTails`.
        share_scratch: see `OpenVinoBackend`.
    """

    def __init__(
        self, compiled: dict[str, Any], tensor: Any, scores: Mapping[str, TensorSpec], *, share_scratch: bool
    ) -> None:
        self._compiled = compiled
        self._tensor = tensor
        self._tails = LabelTails(scores)
        self._share_scratch = share_scratch

    def allocate(self, spec: TensorSpec, *, host_visible: bool = False) -> Buffer:
        """See `Session.allocate`; all memory is the host's."""
        return HostBuffer(spec)

    def prepare(self, bindings: Sequence[Binding]) -> Program:
        """See `Session.prepare`."""
        requests = []
        for graph, tensors in bindings:
            with checked(f"setting the tensors of graph {graph!r}"):
                compiled = self._compiled[graph]
                request = compiled.create_infer_request()
                tensors, finish = self._tails.bound(graph, tensors)
                for port in (*compiled.inputs, *compiled.outputs):
                    # A Cast from bool to uint8 vanishes (2026.4): its port then has both values' names, in any order.
                    (name,) = port.get_names() & tensors.keys()
                    array = tensors[name].host
                    request.set_tensor(port, self._tensor(array, shared_memory=True))
            requests.append((graph, request, finish))
        return SetGraphs(requests, self._release_scratch if self._share_scratch else None)

    def _release_scratch(self, graph: str) -> None:
        with suppress(RuntimeError):  # another stream runs it, and gives it back
            self._compiled[graph].release_memory()

    def close(self) -> None:
        """See `Session.close`."""
        self._compiled = {}
