"""INT8 graphs for CPUs: UINT8 steps for what a LeakyReLU gives, and classes with FP32 weights."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from tdnet_export.int8.islands import single_weights
from tdnet_export.int8.quantisers import drop_unused

__all__ = ["unsigned_model"]

_SIGNED, _UNSIGNED = 127, 255  # steps from 0 to the largest value


def unsigned_model(model: onnx.ModelProto, original: onnx.ModelProto) -> onnx.ModelProto:
    """The INT8 graph with 255 steps from 0 on, instead of 127 to either side, for the results of LeakyReLUs.

    Of what is negative a hundredth is left, one of the 127 steps at most: cutting it off costs less than steps of
    half the size gain. It makes the LeakyReLU a ReLU, which engines compute with the convolution before it, and
    small numbers of what is small, whose products do not saturate in 16 bits. (V of the demo's network is off by 3.4 %
    instead of 3.9 %.)

    Args:
        model: `original` with symmetric pairs; not changed.
        original: the FP32 graph.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    plain = {node.name: node for node in original.graph.node}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    first = {tensor.name: tensor for tensor in original.graph.initializer}
    leaky = {node.output[0] for node in graph.node if node.op_type == "LeakyRelu"}
    renewed: dict[str, list[str]] = {}  # scale and zero point by the value in steps
    for node in graph.node:
        if (
            node.op_type == "QuantizeLinear"
            and node.input[0] in leaky
            and constants[node.input[2]].data_type == TensorProto.INT8
        ):
            scale = numpy_helper.to_array(constants[node.input[1]]) * np.float32(_SIGNED / _UNSIGNED)
            names = [f"{name}/unsigned" for name in node.input[1:3]]
            zero = np.zeros(tuple(constants[node.input[2]].dims), np.uint8)
            for name, values in zip(names, (scale, zero), strict=True):
                constants[name] = numpy_helper.from_array(values, name)
            renewed[node.output[0]] = node.input[1:3] = names
        elif node.op_type == "DequantizeLinear" and node.input[0] in renewed:
            node.input[1:3] = renewed[node.input[0]]
        elif single_weights(node.name):
            node.input[1:] = plain[node.name].input[1:]
            constants |= {name: first[name] for name in node.input[1:]}
    drop_unused(graph, constants)
    return result
