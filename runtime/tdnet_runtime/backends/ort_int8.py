"""INT8 graphs in the form that ONNX Runtime's CPU kernels want, made when a session opens.

Its products in 8 bits (1.32, x86) want UINT8: a convolution whose Relu is read in INT8 steps runs in float, as does one
before a LeakyRelu, and one whose steps are all INT8 takes ten times as long. In bundles steps are INT8 or UINT8
with zero points of 0, which other engines want. So, without another result:

* a LeakyRelu whose result is read in UINT8 steps from 0 alone is a Relu: what it lets through is cut off;
* INT8 steps become UINT8 ones around 128;
* what several nodes read in the same steps is quantised once;
* what MaxPool and Slice take out of steps is in the same steps, and MaxPool comes before them where the rest is float.

And with another rounding: attention in parts and 8-bit steps, see `ort_attention`, and the first convolution, see
`ort_stem`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tdnet_runtime.backends.onnx_bytes import OnnxGraph
from tdnet_runtime.backends.onnx_node import Node
from tdnet_runtime.backends.ort_attention import attention_in_parts
from tdnet_runtime.backends.ort_stem import stem_in_steps, steps_of
from tdnet_runtime.manifest import IMAGE, TensorSpec

__all__ = ["UNWANTED_OPTIMIZERS", "int8_form"]

UNWANTED_OPTIMIZERS = ("QDQPropagationTransformer",)
"""ONNX Runtime's own that would undo the form: it puts a MaxPool of floats behind the steps again."""


_MIDDLE = "steps/middle"
_STEPS = ("QuantizeLinear", "DequantizeLinear")
_PICKS = ("MaxPool", "Slice")
_PRODUCTS = ("Conv", "Gemm", "MatMul")


def int8_form(data: bytes, inputs: Sequence[TensorSpec], *, exact: bool) -> bytes:
    """The graph as ONNX Runtime is to get it.

    Args:
        data: an INT8 graph of a bundle.
        inputs: of the graph.
        exact: whether the processor's sums of INT8 products are exact. Where they are not, 16 bits hold a pair of
            products only if activations are small numbers: steps around 128 are not, so no product gets them, and
            attention and the first convolution stay in float.

    Raises:
        ValueError: it is no graph of this project's.
    """
    graph = OnnxGraph(data)
    _steps_once(graph)
    _leaks_cut(graph)
    _steps_around_the_middle(graph, exact=exact)
    image = next((spec for spec in inputs if spec.name == IMAGE), None)
    if not (exact and image is not None and stem_in_steps(graph, image)):
        _pooled_before_steps(graph)
    _picks_in_steps(graph)
    attention_in_parts(graph, inputs, in_steps=exact)
    return graph.serialised()


def _steps_once(graph: OnnxGraph) -> None:
    first: dict[tuple[object, ...], str] = {}
    instead: dict[str, str] = {}
    nodes = []
    for node in graph.nodes:
        node.inputs[:] = [instead.get(name, name) for name in node.inputs]
        if node.kind in _STEPS and node.outputs[0] not in graph.outputs:
            held = [graph.constant(name) for name in node.inputs[1:]]
            same = (
                node.kind,
                node.inputs[0],
                str(node.attributes),
                *(None if each is None else (each.dtype, each.shape, each.tobytes()) for each in held),
            )
            if None not in same and same in first:
                instead[node.outputs[0]] = first[same]
                continue
            first[same] = node.outputs[0]
        nodes.append(node)
    graph.nodes = nodes


def _leaks_cut(graph: OnnxGraph) -> None:
    readers = graph.readers()
    for index, node in enumerate(graph.nodes):
        if node.kind == "LeakyRelu" and node.outputs[0] not in graph.outputs:
            read_by = readers.get(node.outputs[0], [])
            if read_by and all(_from_zero(graph, reader) for reader in read_by):
                graph.nodes[index] = Node("Relu", node.inputs, node.outputs, node.name)


def _from_zero(graph: OnnxGraph, node: Node) -> bool:
    """True for a QuantizeLinear to UINT8 steps from 0."""
    if node.kind != "QuantizeLinear":
        return False
    zero = graph.constant(node.inputs[2])
    return zero is not None and zero.dtype == np.uint8 and not zero.any()


def _steps_around_the_middle(graph: OnnxGraph, *, exact: bool) -> None:
    readers = graph.readers()
    middle = None
    for node in graph.nodes:
        if node.kind != "QuantizeLinear":
            continue
        zero = graph.constant(node.inputs[2])
        restored = readers.get(node.outputs[0], [])
        if zero is None or zero.dtype != np.int8 or zero.any() or node.outputs[0] in graph.outputs:
            continue
        if not exact and any(_multiplied(each, readers) for each in restored):
            continue
        middle = middle or graph.add_constant(_MIDDLE, np.array(128, np.uint8))
        for each in (node, *restored):
            each.inputs[2] = middle


def _multiplied(node: Node, readers: dict[str, list[Node]]) -> bool:
    """True where a product reads what the node gives, or what is picked of it."""
    waiting, seen = [node.outputs[0]], set[str]()
    while waiting:
        for reader in readers.get(waiting.pop(), []):
            if reader.kind in _PRODUCTS:
                return True
            if reader.kind in _PICKS and reader.outputs[0] not in seen:
                seen.add(reader.outputs[0])
                waiting.append(reader.outputs[0])
    return False


def _pooled_before_steps(graph: OnnxGraph) -> None:
    """Let MaxPool read float what comes as float: in steps, and a plane for each channel, it takes ten times as long."""
    readers, makers = graph.readers(), graph.makers()
    for pool in [
        node for node in graph.nodes if node.kind == "MaxPool" and node.outputs[0] not in graph.outputs
    ]:
        restore = makers.get(pool.inputs[0])
        quantise = makers.get(restore.inputs[0]) if restore is not None else None
        if restore is None or quantise is None or (quantise.kind, restore.kind) != _STEPS:
            continue
        if not _made_in_float(quantise.inputs[0], makers):
            continue
        if readers[restore.outputs[0]] == [pool] and readers[quantise.outputs[0]] == [restore]:
            pool.inputs[0], quantise.inputs[0] = quantise.inputs[0], restore.outputs[0]
            pool.outputs[0], restore.outputs[0] = restore.outputs[0], pool.outputs[0]
            graph.nodes.remove(pool)
            graph.nodes.insert(graph.nodes.index(quantise), pool)


def _made_in_float(value: str, makers: dict[str, Node]) -> bool:
    """True for the result of a convolution that reads no steps, and of its activation."""
    maker = makers.get(value)
    while maker is not None and maker.kind in ("Relu", "LeakyRelu"):
        maker = makers.get(maker.inputs[0])
    if maker is None or maker.kind != "Conv":
        return False
    source = makers.get(maker.inputs[0])
    return source is None or source.kind != "DequantizeLinear"


def _picks_in_steps(graph: OnnxGraph) -> None:
    makers = graph.makers()
    nodes: list[Node] = []
    for node in graph.nodes:
        nodes.append(node)
        maker = makers.get(node.inputs[0]) if node.kind in _PICKS else None
        if maker is not None and maker.kind == "DequantizeLinear" and node.outputs[0] not in graph.outputs:
            picked, name = f"{node.outputs[0]}/picked", node.outputs[0]
            node.outputs[0] = picked
            pair = steps_of(picked, name, *maker.inputs[1:3])
            nodes += pair
            makers[name] = pair[1]
    graph.nodes = nodes
