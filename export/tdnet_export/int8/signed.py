"""INT8 graphs for TensorRT: signed steps, and FP16 for all that is not INT8.

TensorRT takes UINT8 zero points for INT8 with a warning, so that half of the range is cut off: here every pair is
signed and symmetric. Scales are FP16 like the values, which ONNX allows from opset 19 on: each DequantizeLinear then
stands right before its product, as NVIDIA's own quantiser writes it, and no Cast is in the way of a fusion.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from tdnet_export.int8.quantisers import PAIR, along_axis, drop_unused, quantised_inputs, scale_axis
from tdnet_export.precision import half_precision_model
from tdnet_runtime.errors import ExportError

__all__ = ["check_signed", "half_signed_model", "signed_model"]

_OPSET, _IR_VERSION = 19, 9
_LARGEST_STEP = 127
_SMALLEST_SCALE = 2.0**-24  # FP16's; 0 is refused by the parser


def signed_model(model: onnx.ModelProto) -> onnx.ModelProto:
    """The INT8 graph with signed steps: where they were UINT8, the same range in 127 steps instead of 255.

    What a convolution gives to a sum is not quantised: engines add it where they compute it. (That makes up for the
    coarser steps: V of td4-psp18 is off by 4.3 % instead of 5.2 %, and by 3.9 % with UINT8 steps.)

    Args:
        model: FP32 with symmetric pairs; not changed.

    Raises:
        ExportError: a constant is UINT8, or one scale serves both kinds of steps.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    constants = {tensor.name: tensor for tensor in result.graph.initializer}
    kinds: dict[str, set[int]] = {}  # of steps, by scale
    for node in _pairs(result):
        kinds.setdefault(node.input[1], set()).add(constants[node.input[2]].data_type)
        if node.input[0] in constants and constants[node.input[0]].data_type != TensorProto.INT8:
            raise ExportError(f"graph {model.graph.name!r} has a constant in UINT8 steps: {node.input[0]!r}")
    for name, found in kinds.items():
        if found == {TensorProto.UINT8}:
            _replace(
                constants[name], numpy_helper.to_array(constants[name]) * np.float32(255 / _LARGEST_STEP)
            )
        elif TensorProto.UINT8 in found:
            raise ExportError(f"graph {model.graph.name!r} has one scale for UINT8 and INT8 steps: {name!r}")
    for name in {node.input[2] for node in _pairs(result)}:
        _replace(constants[name], np.zeros(tuple(constants[name].dims), np.int8))
    _leave_sums(result.graph)
    return result


def half_signed_model(model: onnx.ModelProto) -> onnx.ModelProto:
    """A graph of `signed_model` in FP16 where it is not INT8; see `half_precision_model`.

    A constant's steps are rounded anew where its scale is so small that FP16 holds it coarsely.

    Raises:
        ExportError: constants that FP16 cannot hold.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    constants = {tensor.name: tensor for tensor in result.graph.initializer}
    scales = {node.input[1]: numpy_helper.to_array(constants[node.input[1]]) for node in _pairs(result)}
    rounded = {name: _half_scale(scale) for name, scale in scales.items()}
    for node in _pairs(result):
        if node.input[0] in constants:
            steps, name = constants[node.input[0]], node.input[1]
            ratio = along_axis(
                scales[name].astype(np.float64) / rounded[name], scale_axis(node), len(steps.dims)
            )
            wanted = np.rint(numpy_helper.to_array(steps) * ratio)
            _replace(steps, wanted.clip(-_LARGEST_STEP, _LARGEST_STEP).astype(np.int8))
    for name, scale in rounded.items():
        _replace(constants[name], scale.astype(np.float32))
    result = half_precision_model(result)
    result.opset_import[0].version, result.ir_version = _OPSET, _IR_VERSION
    for node in result.graph.node:
        if node.op_type.startswith("Reduce") and node.op_type != "ReduceSum":  # which had them so before
            _axes_as_input(result.graph, node)
    return result


def check_signed(model: onnx.ModelProto) -> None:
    """Raise ExportError unless every pair's steps are INT8 with a zero point of 0 and a positive FP16 scale."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in _pairs(model):
        scale, zero = (constants[name] for name in node.input[1:3])
        if zero.data_type != TensorProto.INT8 or numpy_helper.to_array(zero).any():
            raise ExportError(
                f"graph {model.graph.name!r} is not for TensorRT: {node.name!r} has no INT8 zero point of 0"
            )
        if scale.data_type != TensorProto.FLOAT16 or not (numpy_helper.to_array(scale) > 0).all():
            raise ExportError(
                f"graph {model.graph.name!r} is not for TensorRT: {node.name!r} has no positive FP16 scale"
            )


def _leave_sums(graph: onnx.GraphProto) -> None:
    products = {node.output[0] for node in graph.node if node.op_type == "Conv"}
    pairs = quantised_inputs(graph)
    for node in graph.node:
        if node.op_type == "Add":
            for index, name in enumerate(node.input):
                if name in pairs and pairs[name].source in products:
                    node.input[index] = pairs[name].source
    drop_unused(graph, {tensor.name: tensor for tensor in graph.initializer})


def _pairs(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    return (node for node in model.graph.node if node.op_type in PAIR)


def _half_scale(scale: np.ndarray) -> np.ndarray:
    """The next FP16 number, so that nothing is cut off."""
    rounded = np.maximum(scale, _SMALLEST_SCALE).astype(np.float16)
    above: np.ndarray = np.where(rounded < scale, np.nextafter(rounded, np.float16(np.inf)), rounded)
    return above


def _replace(tensor: TensorProto, values: np.ndarray) -> None:
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def _axes_as_input(graph: onnx.GraphProto, node: onnx.NodeProto) -> None:
    """Axes of a reduction as opset 18 and later have them."""
    (axes,) = (attribute for attribute in node.attribute if attribute.name == "axes")
    name = f"{node.name}/axes"
    graph.initializer.append(numpy_helper.from_array(np.array(axes.ints, np.int64), name))
    node.input.append(name)
    node.attribute.remove(axes)
