"""Attention in parts for ONNX Runtime on the CPU: scores that stay in a cache, instead of all of them in memory.

At full size the scores of all positions are 90 to 150 MB, written and read three times. Rows of them do not know of each
other: so queries are taken in parts, each through scores, softmax and mix, and the results are put side by side again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tdnet_runtime.backends.onnx_bytes import Node, OnnxGraph
from tdnet_runtime.manifest import TensorSpec

__all__ = ["attention_in_parts", "has_large_scores"]

_LARGEST_SCORES = 1 << 20  # of a part, 4 MiB; smaller ones cost more in waking threads than they save


def has_large_scores(inputs: Sequence[TensorSpec]) -> bool:
    """True for inputs of a graph whose attention is worth taking apart: `query`, and the keys of a slot."""
    keys = [spec.shape[1] for spec in inputs if spec.name.endswith("_k") and len(spec.shape) == 2]
    queries = [math.prod(spec.shape[2:]) for spec in inputs if spec.name == "query"]
    return bool(keys and queries) and max(keys) * max(queries) > _LARGEST_SCORES


def attention_in_parts(graph: OnnxGraph, inputs: Sequence[TensorSpec]) -> None:
    """Take each values·softmax(queryᵀ·key)ᵀ of many scores apart, by queries.

    Args:
        graph: with Gemm, Softmax and Gemm one after the other where there is attention.
        inputs: of the graph.
    """
    shapes = {spec.name: spec.shape for spec in inputs}
    readers, makers = graph.readers(), graph.makers()
    nodes: list[Node] = []
    gone: set[int] = set()
    for node in graph.nodes:
        softmax = makers.get(node.inputs[1]) if node.kind == "Gemm" and len(node.inputs) > 1 else None
        scores = makers.get(softmax.inputs[0]) if softmax is not None and softmax.kind == "Softmax" else None
        if softmax is None or scores is None or scores.kind != "Gemm" or len(scores.inputs) != 2:
            nodes.append(node)
            continue
        queries, keys = (_columns(value, shapes, makers) for value in scores.inputs)
        alone = all(len(readers[each.outputs[0]]) == 1 for each in (scores, softmax))
        if not alone or queries * keys <= _LARGEST_SCORES:
            nodes.append(node)
            continue
        gone |= {id(scores), id(softmax)}
        nodes += _parts(graph, scores, softmax, node, queries=queries, keys=keys)
    graph.nodes = [node for node in nodes if id(node) not in gone]


def _columns(value: str, shapes: dict[str, tuple[int, ...]], makers: dict[str, Node]) -> int:
    """Positions of an input [D, P], or of one [1, D, h, w] whose planes were made rows; 0 for others."""
    if value in shapes:
        return shapes[value][1] if len(shapes[value]) == 2 else 0
    maker = makers.get(value)
    rows = maker is not None and maker.kind == "Reshape" and len(shapes.get(maker.inputs[0], ())) == 4
    return math.prod(shapes[maker.inputs[0]][2:]) if rows and maker is not None else 0


def _parts(
    graph: OnnxGraph, scores: Node, softmax: Node, mix: Node, *, queries: int, keys: int
) -> list[Node]:
    count = -(-queries // max(1, _LARGEST_SCORES // keys))
    each = -(-queries // count)
    sizes = [min(each, queries - start) for start in range(0, queries, each)]
    name = scores.name
    taken = [f"{name}/queries{part}" for part in range(len(sizes))]
    lengths = graph.add_constant(f"{name}/lengths", np.array(sizes, np.int64))
    result = [Node("Split", [scores.inputs[0], lengths], taken, f"{name}/split", {"axis": 1})]
    mixed = []
    for part, query in enumerate(taken):
        inner = query
        for node, place in ((scores, 0), (softmax, 0), (mix, 1)):
            read = [*node.inputs]
            read[place] = inner
            inner = f"{node.outputs[0]}/part{part}"
            result.append(
                Node(node.kind, read, [inner], f"{node.name}/part{part}", node.attributes, node.carried)
            )
        mixed.append(inner)
    return [*result, Node("Concat", mixed, mix.outputs, f"{mix.name}/joined", {"axis": 1})]
