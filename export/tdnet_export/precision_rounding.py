"""An FP32 graph that shows on a CPU what an FP16 graph computes on a GPU.

ONNX Runtime's CPU provider has hardly any FP16 kernels. It runs the nodes in FP32 and drops the casts
between them, so that only constants and the graph's own tensors are FP16: a proof on it would leave
out most of what FP16 costs. Here each result is rounded explicitly, by two Casts that it keeps.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tdnet_export.precision_check import value_types

__all__ = ["rounding_model"]

_EXACT = frozenset(
    {"Concat", "DequantizeLinear", "GatherElements", "MaxPool", "Relu", "Reshape", "Slice", "Transpose"}
)
"""Operators whose results are among their inputs, or 0; and steps of INT8, which engines multiply as they are."""


def rounding_model(model: onnx.ModelProto) -> onnx.ModelProto:
    """The FP16 graph `model` with its sums in FP32 and every FP16 result rounded once, node by node.

    An engine that fuses nodes rounds less often, one that sums in FP16 more. Inputs and outputs are
    those of `model`, FP16 ones included, so that it fits into a bundle in its place.
    """
    types = value_types(model)
    half = {name for name, (kind, _) in types.items() if kind == TensorProto.FLOAT16}
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            wide = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
    outputs = {value.name for value in graph.output}
    widened = {value.name: f"{value.name}/wide" for value in graph.input if value.name in half}
    nodes = [_cast(name, wide, TensorProto.FLOAT) for name, wide in widened.items()]
    for original in model.graph.node:
        node = onnx.NodeProto()
        node.CopyFrom(original)
        node.input[:] = [widened.get(name, name) for name in original.input]
        nodes.append(node)
        (name,) = original.output
        if name not in half or (node.op_type in _EXACT and name not in outputs):
            continue
        if node.op_type != "Cast":
            node.output[0] = f"{name}/exact"
            nodes.append(_cast(node.output[0], name, TensorProto.FLOAT16))
        widened[name] = f"{name}/wide"
        nodes.append(_cast(name, widened[name], TensorProto.FLOAT))
    del graph.node[:]
    graph.node.extend(nodes)
    return result


def _cast(source: str, target: str, kind: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"{target}/cast", to=kind)
