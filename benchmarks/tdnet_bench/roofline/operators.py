"""What one node computes and reads, operator by operator."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tdnet_bench.roofline.graph import Node, Value

__all__ = ["MATRIX", "VIEWS", "elements_read", "matrix_flops", "other_flops"]

VIEWS = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "DequantizeLinear"})
"""Their output is the input's memory; engines read a quantised value where it is used."""
MATRIX = frozenset({"Conv", "Gemm", "MatMul"})
_PER_OUTPUT = {"Add": 1, "Sub": 1, "Mul": 1, "Div": 1, "Max": 1, "Relu": 1, "LeakyRelu": 2, "Clip": 2}
_PER_OUTPUT |= {"Greater": 1, "Sqrt": 1}
_PER_OUTPUT |= {"QuantizeLinear": 3}  # quotient, rounding, clipping
_PER_OUTPUT |= dict.fromkeys(["Cast", "Concat", "Slice", "Transpose", *VIEWS], 0)
_PER_INPUT = {"ArgMax": 1, "ReduceMean": 1, "ReduceL2": 2}
_PER_INPUT |= {"Softmax": 5}  # maximum, difference, exponential, sum, quotient
_PER_INPUT |= {"LayerNormalization": 7}  # mean, difference, square, its mean, scale, gain, shift
_BILINEAR = 7  # four products and three sums


def elements_read(node: Node, position: int, values: Mapping[str, Value]) -> int:
    """Elements of the input at `position` that the node needs."""
    value = values[node.data_inputs[position]]
    if node.operator == "Slice":
        return values[node.outputs[0]].size
    if position == 0 and node.operator in {"Conv", "MaxPool"}:
        kernel = node.attributes.get("kernel_shape") or values[node.inputs[1]].shape[2:]
        result = values[node.outputs[0]].shape[2:]
        window = zip(value.shape[2:], result, kernel, strict=True)
        return math.prod(value.shape[:2]) * math.prod(min(side, n * taps) for side, n, taps in window)
    return value.size


def matrix_flops(node: Node, values: Mapping[str, Value]) -> int:
    """Two for each multiply-add of a Conv, Gemm or MatMul."""
    first = values[node.inputs[0]].shape
    if node.operator == "Conv":
        depth = math.prod(values[node.inputs[1]].shape[1:])  # of a group's channels
    elif node.operator == "Gemm":
        depth = first[0] if node.attributes.get("transA") else first[1]
    else:
        depth = first[-1]
    return 2 * depth * values[node.outputs[0]].size


def other_flops(node: Node, values: Mapping[str, Value]) -> int | None:
    """Arithmetic besides multiply-adds of matrix products; None where it is not known."""
    out = values[node.outputs[0]].size
    if node.operator in MATRIX:
        return out if len(node.data_inputs) == 3 else 0  # the bias
    if node.operator in _PER_OUTPUT:
        return _PER_OUTPUT[node.operator] * out
    if node.operator in _PER_INPUT:
        return _PER_INPUT[node.operator] * values[node.inputs[0]].size
    if node.operator == "MaxPool":
        window: Sequence[int] = node.attributes["kernel_shape"]
        return (math.prod(window) - 1) * out
    if node.operator == "Resize" and node.attributes.get("mode", b"nearest") == b"linear":
        return _BILINEAR * out
    return None
