"""What an INT8 graph must be: the FP32 graph, node for node, with symmetric pairs in it where they may be."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from tdnet_export.int8.islands import single_weights, stays_single
from tdnet_export.int8.quantisers import PAIR, Quantised, along_axis, quantised_inputs
from tdnet_export.precision_check import ValueType, value_types
from tdnet_runtime.errors import ExportError

__all__ = ["check_int8", "int8_share"]

_STEPS = (TensorProto.INT8, TensorProto.UINT8)  # UINT8 for what is never negative
_BIAS = 2  # input of a Conv or Gemm, which the quantiser corrects


def check_int8(model: onnx.ModelProto, original: onnx.ModelProto) -> None:
    """Raise ExportError, with all reasons, unless `model` is `original` with pairs of QuantizeLinear and DequantizeLinear.

    Without the pairs, nodes, names, attributes and constants are equal (biases may differ: they are
    corrected), and so are inputs and outputs. INT8 is symmetric, with zero points of 0, which is what
    TensorRT builds; constants are off by one step at most; nodes of `INT8_ISLANDS` read FP32.
    """
    name = original.graph.name
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # the checker and shape inference have several, unrelated errors
        raise ExportError(f"graph {name!r} in INT8 is not valid ONNX: {error}") from error
    complaints = [*_structure(model, original), *_scales(model), *_islands(model)]
    if complaints:
        shown = "; ".join(complaints[:5]) + ("; …" if len(complaints) > 5 else "")
        raise ExportError(
            f"graph {name!r} in INT8 is not the FP32 graph with quantisers in it: {shown}. "
            "Export this network with --precision fp32, and report it with the version of NNCF."
        )


def int8_share(model: onnx.ModelProto) -> float:
    """Share of INT8 among the multiplications of Conv, Gemm and MatMul, 0 to 1."""
    types, pairs = value_types(model), quantised_inputs(model.graph)
    done = total = 0
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul"):
            continue
        products = math.prod(types[node.output[0]][1]) * _terms(node, types)
        total += products
        done += products if set(node.input[:2]) <= pairs.keys() else 0
    return done / total if total else 0.0


def _terms(node: onnx.NodeProto, types: dict[str, ValueType]) -> int:
    """Products that one result of a Conv, Gemm or MatMul sums."""
    left, right = (types[name][1] for name in node.input[:2])
    if node.op_type == "Conv":
        return math.prod(right[1:])
    transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return left[0] if transposed else left[-1]


def _structure(model: onnx.ModelProto, original: onnx.ModelProto) -> Iterator[str]:
    for kind, found, wanted in (
        ("inputs", model.graph.input, original.graph.input),
        ("outputs", model.graph.output, original.graph.output),
        ("opsets", model.opset_import, original.opset_import),
    ):
        if list(found) != list(wanted):
            yield f"its {kind} differ"
    nodes = [node for node in model.graph.node if node.op_type not in PAIR]
    if [node.name for node in nodes] != [node.name for node in original.graph.node]:
        yield "its nodes differ, or their order"
        return
    pairs = quantised_inputs(model.graph)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    first = {tensor.name: tensor for tensor in original.graph.initializer}
    for node, like in zip(nodes, original.graph.node, strict=True):
        if (node.op_type, list(node.output), list(node.attribute), len(node.input)) != (
            like.op_type,
            list(like.output),
            list(like.attribute),
            len(like.input),
        ):
            yield f"{node.name!r} is another node"
            continue
        for index, (name, wanted) in enumerate(zip(node.input, like.input, strict=True)):
            pair = pairs.get(name)
            if wanted in first:
                if not _constant_agrees(first[wanted], constants, name, pair, bias=index == _BIAS):
                    yield f"{node.name!r} has another constant {wanted!r}"
            elif (name if pair is None else pair.source) != wanted:
                yield f"{node.name!r} reads {name!r} for {wanted!r}"


def _constant_agrees(
    wanted: TensorProto, constants: dict[str, TensorProto], name: str, pair: Quantised | None, *, bias: bool
) -> bool:
    if pair is None:
        found = constants.get(name)
        return found is not None and (
            list(found.dims) == list(wanted.dims)
            and found.data_type == wanted.data_type
            and (bias or found.raw_data == wanted.raw_data)
        )
    if not pair.constant or pair.source not in constants or pair.scale not in constants:
        return False
    steps = numpy_helper.to_array(constants[pair.source])
    scale = numpy_helper.to_array(constants[pair.scale])
    values = numpy_helper.to_array(wanted)
    if steps.shape != values.shape:
        return False
    axis = pair.axis % max(values.ndim, 1)
    if scale.size > 1 and (values.ndim == 0 or scale.shape != values.shape[axis : axis + 1]):
        return False
    scale = along_axis(scale, axis, values.ndim)
    return bool((np.abs(steps.astype(np.float32) * scale - values) <= 1.001 * scale).all())


def _scales(model: onnx.ModelProto) -> Iterator[str]:
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in PAIR:
            scale, zero = (constants.get(name) for name in (*node.input[1:], "", "")[:2])
            if scale is None or zero is None or zero.data_type not in _STEPS:
                yield f"{node.name!r} has no scale, or no zero point of 8 bits"
                continue
            factors = numpy_helper.to_array(scale)
            if not (np.isfinite(factors).all() and (factors > 0).all()):
                yield f"{node.name!r} has the scale {float(factors.min()):.3g}"
            if numpy_helper.to_array(zero).any():
                yield f"{node.name!r} is not symmetric"


def _islands(model: onnx.ModelProto) -> Iterator[str]:
    pairs = quantised_inputs(model.graph)
    for node in model.graph.node:
        if node.op_type not in PAIR and stays_single(node.name) and set(node.input) & pairs.keys():
            yield f"{node.name!r} reads INT8 and must not"
        elif single_weights(node.name) and set(node.input[1:]) & pairs.keys():
            yield f"{node.name!r} has weights in INT8 and must not"
