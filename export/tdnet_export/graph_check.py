"""What every written graph must be, checked right after it is written."""

from __future__ import annotations

import onnx

from tdnet_export.contract import GraphTensors
from tdnet_export.onnx_writer import value_info
from tdnet_runtime.errors import ExportError

__all__ = ["MAX_IR_VERSION", "MAX_OPSET", "OPERATORS", "check_graph"]

MAX_OPSET = 20
"""The parser of TensorRT 10.3 (JetPack 6) reads up to here."""
MAX_IR_VERSION = 10

OPERATORS = frozenset(
    {
        "Add",
        "ArgMax",
        "Cast",
        "Concat",
        "Conv",
        "Div",
        "Exp",
        "GatherElements",
        "Gemm",
        "Greater",
        "LayerNormalization",
        "LeakyRelu",
    }
    | {
        "MatMul",
        "Max",
        "MaxPool",
        "Mul",
        "Neg",
        "ReduceL2",
        "ReduceMean",
        "ReduceSum",
        "Relu",
        "Reshape",
        "Resize",
        "Round",
        "Sigmoid",
        "Slice",
        "Softmax",
        "Sqrt",
        "Sub",
        "Transpose",
        "Where",
    }
)
"""All operators that a graph may have."""


def check_graph(model: onnx.ModelProto, tensors: GraphTensors, *, more: frozenset[str] = frozenset()) -> None:
    """Raise ExportError unless the model is valid, portable and has exactly the contract's tensors.

    Args:
        model: the graph.
        tensors: its contract.
        more: operators beside `OPERATORS`.
    """
    name = tensors.name
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # the checker and shape inference have several, unrelated errors
        raise ExportError(f"graph {name!r} is not valid ONNX: {error}") from error
    opsets = {opset.domain: opset.version for opset in model.opset_import}
    if opsets.keys() != {""} or opsets[""] > MAX_OPSET or model.ir_version > MAX_IR_VERSION:
        raise ExportError(
            f"graph {name!r} has opsets {opsets} and IR version {model.ir_version}; expected the default domain "
            f"up to opset {MAX_OPSET} and IR version {MAX_IR_VERSION}, which TensorRT 10.3 reads"
        )
    foreign = sorted({node.op_type for node in model.graph.node} - OPERATORS - more)
    if foreign:
        raise ExportError(
            f"graph {name!r} uses the operators {', '.join(foreign)}, which are not on the list"
        )
    for kind, found, stated in (
        ("inputs", model.graph.input, tensors.inputs),
        ("outputs", model.graph.output, tensors.outputs),
    ):
        if list(found) != [value_info(spec) for spec in stated]:
            raise ExportError(
                f"graph {name!r} has the {kind} {[value.name for value in found]}, "
                f"the contract {[spec.name for spec in stated]}, or their shapes or dtypes differ"
            )
    told = [node.name for node in model.graph.node if node.doc_string or node.metadata_props]
    if told or model.doc_string or model.metadata_props or model.graph.doc_string:
        raise ExportError(f"graph {name!r} carries notes of the exporting machine at {told or 'the model'}")
