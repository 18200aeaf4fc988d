"""INT8 graphs for labels without attention: cut out of the APMs', so that they give a cold frame's labels to the bit."""

from __future__ import annotations

import onnx

__all__ = ["own_model"]


def own_model(apm: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """What the APM `apm` computes of `recomposed`, as the graph `name`, computed of `value` instead."""
    result = onnx.ModelProto()
    result.CopyFrom(apm)
    graph = result.graph
    needed = {output.name for output in graph.output}
    nodes = []
    for node in reversed(list(graph.node)):
        if needed & set(node.output):
            node.input[:] = ["value" if read == "recomposed" else read for read in node.input]
            nodes.append(node)
            needed |= set(node.input)
    kept = onnx.GraphProto(name=name, output=graph.output)
    kept.node.extend(reversed(nodes))
    kept.input.extend(value for value in graph.input if value.name in needed)
    kept.initializer.extend(constant for constant in graph.initializer if constant.name in needed)
    graph.CopyFrom(kept)
    return result
