"""Attention products with sides that divide by 8, for FP16 graphs: what tensor cores take without copies.

Odd sides (18,721 positions by 1,225 at 769×1537) make TensorRT-RTX copy every operand to an even side and write the
scores in FP32, 92 MB instead of 46. Here query, key and values get columns of zeros, a bias of the scores' product
keeps the keys' ones out of the softmax (their shares are exactly 0), and the result is cut back. The means that
values are centred by are taken before. CPU engines gain nothing, so FP32 and INT8 graphs are as they were.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tdnet_export.precision_check import value_types

__all__ = ["pad_attention"]

_MULTIPLE = 8
_NEVER = -60_000.0
"""Added to a score: exp() of it is 0 in FP32, and FP16 holds it."""


def pad_attention(model: onnx.ModelProto) -> None:
    """Pad the operands of each `…/scores` and `…/mix` of `model`, in place; results keep their names and shapes.

    Args:
        model: FP32, as `GraphJob.write` makes it.
    """
    shapes = {name: shape for name, (_, shape) in value_types(model).items()}
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        pads = _Pads(model.graph, node.name, nodes, shapes)
        if node.name.endswith("/scores"):
            (query, key), positions = node.input, shapes[node.input[1]][1]
            node.input[:] = [pads.padded(query, "query"), pads.padded(key, "key")]
            if extra := -positions % _MULTIPLE:
                mask = np.repeat(np.array([0, _NEVER], np.float32), [positions, extra])
                node.input.append(pads.constant(mask, "mask"))
            nodes.append(node)
        elif node.name.endswith("/mix"):
            values, shares = node.input
            node.input[:] = [pads.padded(values, "values"), shares]
            nodes.append(node)
            pads.cut(node, columns=shapes[node.output[0]][1])
        else:
            nodes.append(node)
    ordered = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(ordered)


class _Pads:
    """Adds the nodes and constants around one product, named after it."""

    def __init__(
        self,
        graph: onnx.GraphProto,
        name: str,
        nodes: list[onnx.NodeProto],
        shapes: dict[str, tuple[int, ...]],
    ) -> None:
        self._graph, self._name, self._nodes, self._shapes = graph, name, nodes, shapes

    def constant(self, values: np.ndarray, name: str) -> str:
        full = f"{self._name}/{name}"
        self._graph.initializer.append(numpy_helper.from_array(values, full))
        return full

    def padded(self, value: str, name: str) -> str:
        """`value` with columns of zeros behind it, where its columns do not divide by 8."""
        rows, columns = self._shapes[value]
        if not (extra := -columns % _MULTIPLE):
            return value
        zeros = self.constant(np.zeros((rows, extra), np.float32), f"{name}_zeros")
        full = f"{self._name}/{name}"
        self._nodes.append(helper.make_node("Concat", [value, zeros], [full], name=full, axis=1))
        return full

    def cut(self, node: onnx.NodeProto, *, columns: int) -> None:
        """The first `columns` of the node's result under the result's own name."""
        if not columns % _MULTIPLE:
            return
        (result,) = node.output
        node.output[0] = f"{result}/padded"
        ends = [
            self.constant(np.array([value]), name)
            for name, value in (("start", 0), ("stop", columns), ("axis", 1))
        ]
        name = f"{self._name}/cut"
        self._nodes.append(helper.make_node("Slice", [node.output[0], *ends], [result], name=name))
