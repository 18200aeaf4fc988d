"""An ONNX Runtime session on a provider that must do all of the work, or none."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tdnet_runtime.backends.capture_gate import CaptureGate
from tdnet_runtime.backends.ort_session import new_session
from tdnet_runtime.backends.ort_tensors import check_tensors
from tdnet_runtime.errors import BackendError
from tdnet_runtime.manifest import GraphSpec

__all__ = ["GATE", "LoadedGraph", "Provider", "checked", "load_graph"]

GATE = CaptureGate()
"""Of the process: all that may reach a GPU through ONNX Runtime goes through it, sessions and buffers that end, too."""


@dataclass(frozen=True, slots=True)
class Provider:
    """What ONNX Runtime runs on.

    Attributes:
        name: of the execution provider.
        device: where its tensors are, as OrtValue says it.
        options: of the provider.
        graphs: further options that switch CUDA graphs on; empty where there are none.
        config: entries of the session's configuration.
    """

    name: str
    device: str
    options: Mapping[str, str] = field(default_factory=dict)
    graphs: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class LoadedGraph:
    """A graph's session, and the lock that it needs: with CUDA graphs it serves one thread at a time."""

    name: str
    session: Any
    outputs: frozenset[str]
    obstacle: str | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def checked(doing: str) -> Iterator[None]:
    """Whatever ONNX Runtime raises in here as BackendError; waits while another thread captures."""
    with GATE.using():
        try:
            yield
        except Exception as error:  # ONNX Runtime's errors have no public base class
            raise BackendError(f"{doing}: {error}") from error


def load_graph(
    ort: Any, provider: Provider, spec: GraphSpec, data: bytes, *, without: Sequence[str] = ()
) -> LoadedGraph:
    """A session of one graph, with CUDA graphs where the provider takes them for it.

    Args:
        ort: the module.
        provider: what it is to run on.
        spec: of the graph.
        data: the graph.
        without: optimizers that are not to run.

    Raises:
        BackendError: ONNX Runtime refuses the graph, or does not run it on that provider.
    """
    obstacle = None if provider.graphs else f"{provider.name} has none"
    try:
        session = _session(ort, provider, spec.name, data, provider.graphs, without)
    except BackendError as error:
        if not provider.graphs:
            raise
        session = _session(
            ort, provider, spec.name, data, {}, without
        )  # refuses the graph, too, if that was the reason
        obstacle = str(error)
    check_tensors(spec.name, session, (*spec.inputs, *spec.outputs))
    return LoadedGraph(spec.name, session, frozenset(t.name for t in spec.outputs), obstacle)


def _session(
    ort: Any, provider: Provider, graph: str, data: bytes, more: Mapping[str, str], without: Sequence[str]
) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # or each graph would have a pool of all cores that nothing uses
    options.log_severity_level = 4  # fatal ones; errors are raised, and need not be printed too
    for key, value in provider.config.items():
        options.add_session_config_entry(key, value)
    chosen = (provider.name, {**provider.options, **more})
    with checked(f"{provider.name} cannot load graph {graph!r}"):
        session = new_session(ort, data, options, provider=chosen, without=without)
    used = session.get_providers()
    if used[0] != provider.name:
        with GATE.using():
            del session
        raise BackendError(
            f"graph {graph!r} was to run on {provider.name}, and ONNX Runtime took {used[0]}: its CUDA or cuDNN "
            "libraries do not load; compare their versions with what this onnxruntime-gpu asks for"
        )
    return session
