"""LayerNormalization written out, for FP16 graphs: what TensorRT 10.3 to 10.5 read without an error.

Their parsers call `setComputePrecision` for every LayerNormalization, which strongly typed networks reject: an error
in the log of a build that is right. ONNX Runtime on a CPU takes two to three times as long for the parts as for the
whole, so FP32 and INT8 graphs keep the operator.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

__all__ = ["write_out_layer_norms"]


def write_out_layer_norms(model: onnx.ModelProto) -> None:
    """Replace each LayerNormalization over the last axis of `model` by nodes that compute the same, in place.

    The nodes are called `<node>/mean`, `<node>/centred`, …; the last one gives the value of the node's name.
    """
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.op_type != "LayerNormalization":
            nodes.append(node)
            continue
        epsilon = next(attribute.f for attribute in node.attribute if attribute.name == "epsilon")
        name = f"{node.name}/epsilon"
        model.graph.initializer.append(numpy_helper.from_array(np.full((1, 1, 1), epsilon, np.float32), name))
        nodes += _parts(node, epsilon=name)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _parts(node: onnx.NodeProto, *, epsilon: str) -> list[onnx.NodeProto]:
    x, gain, shift = node.input

    def part(kind: str, name: str, *inputs: str, **attributes: Any) -> onnx.NodeProto:
        full = [each if each in (x, gain, shift, epsilon) else f"{node.name}/{each}" for each in inputs]
        value = f"{node.name}/{name}"
        return helper.make_node(kind, full, [value], name=value, **attributes)

    parts = [
        part("ReduceMean", "mean", x, axes=[-1], keepdims=1),
        part("Sub", "centred", x, "mean"),
        part("Mul", "square", "centred", "centred"),
        part("ReduceMean", "variance", "square", axes=[-1], keepdims=1),
        part("Add", "positive", "variance", epsilon),
        part("Sqrt", "deviation", "positive"),
        part("Div", "normal", "centred", "deviation"),
        part("Mul", "scaled", "normal", gain),
        part("Add", "shifted", "scaled", shift),
    ]
    parts[-1].output[0] = node.output[0]
    return parts
