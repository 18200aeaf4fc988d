"""What an FP16 graph must be before anything is built from it: FP16 where it counts, and safe there.

What sums, and in which type:

* Conv, Gemm and MatMul multiply FP16 and are taken to sum in FP32, as tensor cores and ONNX Runtime
  do. They are what `half_share` counts, and no reduction.
* MatMul with a constant averaging matrix (all entries ≥ 0, what is summed adds up to 1) is a
  reduction like any mean, over the entries that are not 0: all its terms have one sign and nothing
  of them cancels, so it is the product that the type of the sum hurts most.
* LayerNormalization (over its plane), Softmax (over its axis) and Reduce… (over its axes) are
  reductions whose inner type is the engine's own affair.
* Nothing else on the list of operators sums: MaxPool, ArgMax and Greater compare.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from tdnet_runtime.errors import ExportError

__all__ = [
    "MAX_REDUCTION",
    "MAX_SUBNORMAL",
    "MIN_HALF_SHARE",
    "check_half",
    "constant_complaint",
    "half_share",
    "is_additive",
    "value_types",
]

MIN_HALF_SHARE = 0.95
"""Of the multiplications in Conv, Gemm and MatMul."""
MAX_REDUCTION = 4096
"""Elements that an FP16 reduction may sum."""
MAX_SUBNORMAL = 0.02
"""Share of a constant, as its L2 norm, that may lie below FP16's normal range."""

_LARGEST = float(np.finfo(np.float16).max)  # 65,504
_SMALLEST_NORMAL = float(np.finfo(np.float16).smallest_normal)  # 6.1e-5

ValueType = tuple[int, tuple[int, ...]]


def value_types(model: onnx.ModelProto) -> dict[str, ValueType]:
    """ONNX element type and shape of every value, constants included."""
    graph = model.graph
    # Shape inference serialises what it gets: weights are shown to it as inputs, hundreds of MB less.
    whole = [tensor for tensor in graph.initializer if tensor.data_type == TensorProto.INT64]
    weights = [tensor for tensor in graph.initializer if tensor.data_type != TensorProto.INT64]
    shown = [helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims) for tensor in weights]
    lean = helper.make_model(
        helper.make_graph(graph.node, graph.name, [*graph.input, *shown], graph.output, initializer=whole),
        opset_imports=model.opset_import,
        ir_version=model.ir_version,
    )
    inferred = onnx.shape_inference.infer_shapes(lean, strict_mode=True, data_prop=True).graph
    types: dict[str, ValueType] = {
        value.name: (
            value.type.tensor_type.elem_type,
            tuple(side.dim_value for side in value.type.tensor_type.shape.dim),
        )
        for value in (*inferred.input, *inferred.output, *inferred.value_info)
    }
    return types | {tensor.name: (tensor.data_type, tuple(tensor.dims)) for tensor in whole}


def half_share(model: onnx.ModelProto) -> float:
    """Share of FP16 among the multiplications of Conv, Gemm and MatMul, 0 to 1."""
    return _share(model, value_types(model))


def check_half(model: onnx.ModelProto) -> None:
    """Raise ExportError, with all reasons, unless the graph is FP16 where it counts and safe there.

    Safe: no FP16 reduction over more than `MAX_REDUCTION` elements, and all FP16 constants inside
    FP16's normal range, except for what is too small to matter (`constant_complaint`).
    """
    types = value_types(model)
    complaints = [*_slow_products(model, types), *_long_reductions(model, types), *_unsafe_constants(model)]
    if complaints:
        raise ExportError(
            f"graph {model.graph.name!r} in FP16 would be slow or wrong: {'; '.join(complaints)}. "
            "Export this network with --precision fp32."
        )


def constant_complaint(name: str, values: npt.NDArray[np.generic], *, additive: bool) -> str | None:
    """What is lost of a constant in FP16, in a clause; None where nothing is that matters.

    Values beyond ±65,504 become infinite. Values below 6.1e-5 are subnormal: they keep less than
    FP16's 11 bits, and none where an engine flushes them, so they are counted as lost. Zeros are exact.

    Args:
        name: of the constant.
        values: in whatever type they are.
        additive: True where it is only added or compared with; what is too small for FP16 is then too small to matter.
    """
    sizes = np.abs(values.astype(np.float32))
    largest = float(sizes.max())
    if not largest <= _LARGEST:  # NaN too
        return f"the constant {name!r} holds {largest:.3g}, FP16 ends at {_LARGEST:.0f}"
    if additive or largest == 0:
        return None
    sizes /= largest  # squares of what is tiny must not vanish here
    lost = float(np.linalg.norm(sizes[sizes < _SMALLEST_NORMAL / largest]) / np.linalg.norm(sizes))
    if lost > MAX_SUBNORMAL:
        return (
            f"{lost:.1%} of the constant {name!r} lie below {_SMALLEST_NORMAL:.1e}, where FP16 has no full "
            f"precision (bound {MAX_SUBNORMAL:.0%})"
        )
    return None


def is_additive(node: onnx.NodeProto, index: int) -> bool:
    """True where the node adds its input `index`, or compares with it, and does nothing else with it.

    And where that is a quantiser's scale: it was rounded before, and what it scales with it (`int8.signed`).
    """
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        return index == 1
    return node.op_type in ("Add", "Sub", "Greater") or (node.op_type in ("Conv", "Gemm") and index == 2)


def _share(model: onnx.ModelProto, types: dict[str, ValueType]) -> float:
    half = total = 0
    for node in model.graph.node:
        if node.op_type in ("Conv", "Gemm", "MatMul"):
            products = math.prod(types[node.output[0]][1]) * _terms(node, types)
            total += products
            half += products if types[node.input[0]][0] == TensorProto.FLOAT16 else 0
    return half / total if total else 1.0


def _slow_products(model: onnx.ModelProto, types: dict[str, ValueType]) -> Iterator[str]:
    share = _share(model, types)
    if share < MIN_HALF_SHARE:
        yield f"{share:.1%} of its multiplications are FP16, expected {MIN_HALF_SHARE:.0%} or more"


def _long_reductions(model: onnx.ModelProto, types: dict[str, ValueType]) -> Iterator[str]:
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if types[node.input[0]][0] == TensorProto.FLOAT16:
            count = _summed(node, types, constants)
            if count > MAX_REDUCTION:
                yield f"{node.name!r} ({node.op_type}) sums {count:,} elements, the bound is {MAX_REDUCTION:,}"


def _unsafe_constants(model: onnx.ModelProto) -> Iterator[str]:
    additive: dict[str, bool] = {}  # by constant: whether all its users only add it
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            additive[name] = additive.get(name, True) and is_additive(node, index)
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            complaint = constant_complaint(
                tensor.name, numpy_helper.to_array(tensor), additive=additive.get(tensor.name, True)
            )
            if complaint:
                yield complaint


def _summed(node: onnx.NodeProto, types: dict[str, ValueType], constants: dict[str, onnx.TensorProto]) -> int:
    """Elements that one result of a reduction sums; 0 for what is none."""
    shape = types[node.input[0]][1]
    if node.op_type == "LayerNormalization":
        return math.prod(shape[_attribute(node, "axis", -1) :])
    if node.op_type == "Softmax":
        return shape[_attribute(node, "axis", -1)]
    if node.op_type.startswith("Reduce"):
        return math.prod(shape) // math.prod(types[node.output[0]][1])
    if node.op_type == "MatMul":
        for name, axis in zip(node.input, (-1, -2), strict=True):
            if name in constants:
                matrix = numpy_helper.to_array(constants[name]).astype(np.float64)
                if matrix.min() >= 0 and np.allclose(matrix.sum(axis), 1, atol=1e-2):
                    return int(np.count_nonzero(matrix, axis).max())
    return 0


def _terms(node: onnx.NodeProto, types: dict[str, ValueType]) -> int:
    """Products that one result of a Conv, Gemm or MatMul sums."""
    left, right = (types[name][1] for name in node.input[:2])
    if node.op_type == "Conv":
        return math.prod(right[1:])
    return left[0] if node.op_type == "Gemm" and _attribute(node, "transA", 0) else left[-1]


def _attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == name), default)
