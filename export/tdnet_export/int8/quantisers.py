"""Pairs of QuantizeLinear and DequantizeLinear in a graph: reading through them, and taking them out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

__all__ = [
    "PAIR",
    "Quantised",
    "along_axis",
    "drop_unused",
    "partly_quantised",
    "quantised_inputs",
    "scale_axis",
]

PAIR = frozenset({"QuantizeLinear", "DequantizeLinear"})


@dataclass(frozen=True, slots=True)
class Quantised:
    """A value that a node reads in INT8.

    Attributes:
        source: the FP32 value that is quantised, or the INT8 constant.
        scale: name of the constant that holds its scale, or one for each channel.
        zero_point: name of the constant that holds its zero point.
        constant: True for a constant.
        axis: of the value, which a scale for each channel goes along.
    """

    source: str
    scale: str
    zero_point: str
    constant: bool
    axis: int


def scale_axis(node: onnx.NodeProto) -> int:
    """Which axis the scales of a node of `PAIR` go along where there are several."""
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == "axis"), 1)


def along_axis(values: npt.NDArray[np.floating], axis: int, ndim: int) -> npt.NDArray[np.floating]:
    """One value, or one for each channel, in a shape that multiplies an array of `ndim` axes."""
    if values.size == 1:
        return values.reshape([1] * ndim)
    shape = [1] * ndim
    shape[axis] = -1
    return values.reshape(shape)


def quantised_inputs(graph: onnx.GraphProto) -> dict[str, Quantised]:
    """By the name of each dequantised value: what it was made of."""
    makers = {node.output[0]: node for node in graph.node if node.op_type in PAIR}
    result = {}
    for name, node in makers.items():
        if node.op_type == "DequantizeLinear":
            source = makers.get(node.input[0])
            scale, zero_point = node.input[1], node.input[2] if len(node.input) > 2 else ""
            origin = node.input[0] if source is None else source.input[0]
            result[name] = Quantised(
                origin, scale, zero_point, constant=source is None, axis=scale_axis(node)
            )
    return result


def partly_quantised(
    model: onnx.ModelProto, original: onnx.ModelProto, *, keep: Callable[[str], bool]
) -> onnx.ModelProto:
    """`model` with the nodes for which `keep` of their name is False as they are in `original`.

    Args:
        model: `original` with pairs in it.
        original: the FP32 graph.
        keep: of a node's name.
    """
    plain = {node.name: node for node in original.graph.node}
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    first = {tensor.name: tensor for tensor in original.graph.initializer}
    for node in graph.node:
        if node.op_type not in PAIR and not keep(node.name):
            node.input[:] = plain[node.name].input
            constants |= {name: first[name] for name in node.input if name in first}
    drop_unused(graph, constants)
    return result


def drop_unused(graph: onnx.GraphProto, constants: Mapping[str, onnx.TensorProto]) -> None:
    """Take pairs out of `graph` whose results nothing reads; of `constants` it has those that are read."""
    needed = {value.name for value in graph.output}
    nodes = []
    for node in reversed(graph.node):
        if node.op_type not in PAIR or needed & set(node.output):
            nodes.append(node)
            needed |= set(node.input)
    nodes.reverse()
    used = [tensor for name, tensor in constants.items() if name in needed]
    kept = onnx.GraphProto()
    kept.CopyFrom(graph)
    del kept.node[:], kept.initializer[:]
    kept.node.extend(nodes)
    kept.initializer.extend(used)
    graph.CopyFrom(kept)
