"""An attention graph in two: what needs past frames alone, which can be done before the next one is there, and the rest.

Networks with three paths or more bring their older entries up to date among themselves (spec §2: the chain of attention
modules). Where a session opens, the graph is cut at the one value that the rest reads of it. Both orders of work then
run the same two graphs on the same numbers: labels are the same to the bit, whether `Stream.prepare` was called or not.
Bundles keep the whole graph, for engines that take a frame as one piece of work.

CPU engines get all such graphs so, asked or not: a second form for those who prepare would hold the attention's weights
twice, and be another one than what the proof has run. A push that nobody prepared loses next to nothing (docs/cpu.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec

from tdnet_runtime.backends.base import Binding
from tdnet_runtime.backends.host import HostBuffer
from tdnet_runtime.backends.label_cut import CutGraph
from tdnet_runtime.backends.onnx_bytes import OnnxGraph
from tdnet_runtime.backends.onnx_node import Attribute
from tdnet_runtime.manifest import GraphSpec, TensorSpec

__all__ = ["PAST", "PastBuffers", "attends_among_past_frames", "split_past"]

PAST = "past"
"""The value at which a graph is cut: an output of the first part, an input of the second."""

_STEPS = ("QuantizeLinear", "DequantizeLinear")
_FLOATS: dict[Attribute, str] = {1: "float32", 10: "float16"}  # as `onnx.proto3` numbers them

Part = tuple[GraphSpec, CutGraph]


def attends_among_past_frames(graph: GraphSpec) -> bool:
    """True where an entry of the memory is looked at with another one's query: only then there is a part to be cut off."""
    return any(_is_memory(spec) and spec.name.endswith("_q") for spec in graph.inputs)


def split_past(graph: GraphSpec, cut: CutGraph) -> tuple[Part | None, Part]:
    """The part of past frames, and the rest; (None, the whole) where there is no such part, or not just one value between.

    In INT8 a quantiser's pair at the cut goes to the rest, so that what is handed over is what was computed.

    Args:
        graph: what the manifest says of it.
        cut: its bytes, in the form that the engine is to get; whatever is wrong with them, the engine will say.
    """
    whole = None, (graph, cut)
    shapes = {spec.shape for spec in graph.inputs if _is_memory(spec) and spec.name.endswith("_v")}
    if not attends_among_past_frames(graph) or len(shapes) != 1:
        return whole
    try:
        past, rest = OnnxGraph(cut.data), OnnxGraph(cut.data)
        value = _last_of_past(past, graph.inputs)
        if value is None:
            return whole
        between = TensorSpec(name=PAST, shape=shapes.pop(), dtype=_dtype_of(value, past, graph.inputs))
        for part in (past, rest):
            part.rename(value, PAST)
        past.reduce_to([PAST])
        rest.give(between)
        rest.reduce_to(rest.outputs)
    except (ValueError, TypeError, LookupError):  # no model of ours
        return whole
    first, second = (
        tuple(spec for spec in graph.inputs if spec.name in part.inputs) for part in (past, rest)
    )
    return (
        (
            msgspec.structs.replace(graph, inputs=first, outputs=(between,)),
            CutGraph(past.serialised(), (between,)),
        ),
        (msgspec.structs.replace(graph, inputs=(*second, between)), replace(cut, data=rest.serialised())),
    )


def _is_memory(spec: TensorSpec) -> bool:
    return spec.name.startswith("slot")


def _last_of_past(model: OnnxGraph, inputs: Sequence[TensorSpec]) -> str | None:
    """What all that needs the current frame reads of the attention among past ones; None for nothing, or several values."""
    current = {spec.name for spec in inputs if not _is_memory(spec)}
    read = {name for node in model.nodes for name in node.inputs}
    attended: set[str] = set()
    ends: set[str] = set()
    for node in model.nodes:
        if current.intersection(node.inputs):
            current.update(node.outputs)
            ends |= attended.intersection(node.inputs)
        elif node.kind == "Softmax" or attended.intersection(node.inputs):
            attended.update(node.outputs)
    stated = {spec.name for spec in inputs}
    made = model.makers().keys()
    if len(ends) != 1 or not stated == model.inputs <= read or PAST in (stated | read | made):
        return None
    (end,) = ends
    for node in reversed(model.nodes):
        if end in node.outputs:
            if node.kind not in _STEPS:
                return None if end in model.outputs else end
            end = node.inputs[0]
    return None


def _dtype_of(value: str, model: OnnxGraph, inputs: Sequence[TensorSpec]) -> str:
    """Of a value that is made of the memory by operators that keep their input's type, and by Casts; "" for others."""
    dtypes = {spec.name: spec.dtype for spec in inputs if _is_memory(spec)}
    for node in model.nodes:
        read = next((dtypes[name] for name in node.inputs if name in dtypes), None)
        if read is not None:
            to = _FLOATS.get(node.attributes["to"], "") if node.kind == "Cast" else read
            dtypes.update(dict.fromkeys(node.outputs, to))
    return dtypes[value]


class PastBuffers:
    """A session's: one for all graphs, as each frame's part is used up by that frame.

    Args:
        specs: `PAST` of the graphs that were split, by graph.
    """

    def __init__(self, specs: Mapping[str, TensorSpec]) -> None:
        self._specs = specs
        self._buffers: dict[TensorSpec, HostBuffer] = {}

    def bound(self, bindings: Sequence[Binding]) -> tuple[list[Binding], list[Binding]]:
        """The tensors of the first parts, as far as there are any, and of the graphs without them."""
        past: list[Binding] = []
        rest: list[Binding] = []
        for graph, tensors in bindings:
            spec = self._specs.get(graph)
            if spec is not None:
                buffer = self._buffers.get(spec) or HostBuffer(spec)
                self._buffers[spec] = buffer
                tensors = {**tensors, PAST: buffer}
                past.append((graph, tensors))
            rest.append((graph, tensors))
        return past, rest
