"""Graphs node by node as they are written: ONNX Runtime without its optimisations or the forms that the runtime gives it.

So the same nodes give the same bits, in whatever graph they stand and of whatever precision: what differs is a fault of the
graph. (Optimised, a convolution's rounding depends on what stands beside it, and INT8 with it by whole steps.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tdnet_runtime.backends.label_tail import LabelTails
from tdnet_runtime.backends.no_telemetry import import_without_telemetry
from tdnet_runtime.backends.onnxruntime import HostSession, load_graph
from tdnet_runtime.backends.ort_options import session_options
from tdnet_runtime.backends.past_split import PastBuffers
from tdnet_runtime.backends.thread_supply import thread_count
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.stream import Stream

__all__ = ["plain_session", "plain_stream"]


def plain_session(name: str, model: bytes, *, optimised: bool = False) -> Any:
    """An `onnxruntime.InferenceSession` that runs the nodes of `model` as they are.

    Args:
        name: of the graph, for messages.
        model: in ONNX.
        optimised: ONNX Runtime may make others of them, as in a server.

    Raises:
        BackendError: ONNX Runtime refuses the model.
    """
    ort = import_without_telemetry("onnxruntime")
    options = session_options(ort, thread_count(None))
    if not optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return load_graph(ort, name, model, options)


def plain_stream(bundle: Bundle, graphs: Mapping[str, bytes], *, precision: str) -> Stream:
    """The runtime's stream of a bundle, with each of `graphs` in a session of its own.

    Args:
        bundle: whose contract it keeps.
        graphs: of `precision`, by name.
        precision: of the graphs.

    Raises:
        BackendError: ONNX Runtime refuses a graph.
    """
    sessions = {name: plain_session(name, data) for name, data in graphs.items()}
    ort = import_without_telemetry("onnxruntime")
    session = HostSession(sessions, {}, ort, tails=LabelTails({}), between=PastBuffers({}))
    return Stream(bundle.manifest.at(precision), session, bundle_digest=bundle.digest, precision=precision)
