"""Attention in parts for ONNX Runtime on the CPU: scores that stay in a cache, instead of all of them in memory.

At full size the scores of all positions are 90 to 150 MB, written and read three times. Rows of them do not know of each
other: so queries are taken in parts, each through scores, softmax and mix, and the results are put side by side again.

In an INT8 graph both products can be of 8-bit numbers, whose steps each frame decides: a position's shares are in 255
steps up to its largest one (all of them in the same steps would be less than one step each), and values in 127 steps to
either side, channel by channel. Keys are less their mean first, which adds the same to all scores of a position. The mix
is off by less than 1 % for that (norm of the difference, td2-fa18, trained and not). What a past frame attends to stays in
floats: there are few such queries, no more than keys, and the frame would look at what they lose.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tdnet_runtime.backends.onnx_bytes import OnnxGraph
from tdnet_runtime.backends.onnx_node import Attribute, Node
from tdnet_runtime.manifest import TensorSpec

__all__ = ["attention_in_parts", "has_large_scores"]

_LARGEST_SCORES = 1 << 20  # of a part, 4 MiB; smaller ones cost more in waking threads than they save
_FEWEST_IN_STEPS = 1 << 18  # scores that are worth the steps
_MOST_KEYS_IN_STEPS = (2**31 - 1) // (255 * 127)  # whose sums fit 32 bits, whatever shares and values are
_FLOAT = 1  # as `onnx.proto3` numbers it


def has_large_scores(inputs: Sequence[TensorSpec]) -> bool:
    """True for inputs of a graph whose attention is worth taking apart: `query`, and the keys of a slot."""
    keys = [spec.shape[1] for spec in inputs if spec.name.endswith("_k") and len(spec.shape) == 2]
    queries = [math.prod(spec.shape[2:]) for spec in inputs if spec.name == "query"]
    return bool(keys and queries) and max(keys) * max(queries) > _LARGEST_SCORES


def attention_in_parts(graph: OnnxGraph, inputs: Sequence[TensorSpec], *, in_steps: bool = False) -> None:
    """Take each values·softmax(queryᵀ·key)ᵀ of many scores apart, by queries.

    Args:
        graph: with Gemm, Softmax and Gemm one after the other where there is attention.
        inputs: of the graph.
        in_steps: whether products of the frame's own queries are to be of 8-bit numbers, where there are enough of them.
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
        stepped = in_steps and queries > keys <= _MOST_KEYS_IN_STEPS and queries * keys >= _FEWEST_IN_STEPS
        if not alone or not (stepped or queries * keys > _LARGEST_SCORES):
            nodes.append(node)
            continue
        gone |= {id(scores), id(softmax)}
        attention = _in_steps(graph, scores, softmax, node) if stepped else _in_floats(scores, softmax, node)
        nodes += _joined(graph, attention, node, queries=queries, keys=keys)
    graph.nodes = [node for node in nodes if id(node) not in gone]


def _columns(value: str, shapes: dict[str, tuple[int, ...]], makers: dict[str, Node]) -> int:
    """Positions of an input [D, P], or of one [1, D, h, w] whose planes were made rows; 0 for others."""
    if value in shapes:
        return shapes[value][1] if len(shapes[value]) == 2 else 0
    maker = makers.get(value)
    rows = maker is not None and maker.kind == "Reshape" and len(shapes.get(maker.inputs[0], ())) == 4
    return math.prod(shapes[maker.inputs[0]][2:]) if rows and maker is not None else 0


@dataclass(frozen=True, slots=True)
class _Attention:
    """One attention, to be taken apart.

    Attributes:
        before: nodes that make what all parts read.
        taken: what a part's queries are called, before its end.
        queries: all of them.
        axis: of `queries` that has one for each.
        part: nodes of a part, by its end; the last one gives [V, queries].
    """

    before: list[Node]
    taken: str
    queries: str
    axis: int
    part: Callable[[str], list[Node]]


def _joined(graph: OnnxGraph, attention: _Attention, mix: Node, *, queries: int, keys: int) -> list[Node]:
    """All nodes of an attention in parts, which give what `mix` gave."""
    count = -(-queries // max(1, _LARGEST_SCORES // keys))
    each = -(-queries // count)
    sizes = [min(each, queries - start) for start in range(0, queries, each)]
    ends = [f"/part{part}" for part in range(len(sizes))]
    lengths = graph.add_constant(f"{mix.name}/lengths", np.array(sizes, np.int64))
    parts = [attention.part(end) for end in ends]
    return [
        *attention.before,
        Node(
            "Split",
            [attention.queries, lengths],
            [attention.taken + end for end in ends],
            f"{mix.name}/split",
            {"axis": attention.axis},
        ),
        *(node for part in parts for node in part),
        Node(
            "Concat", [part[-1].outputs[0] for part in parts], mix.outputs, f"{mix.name}/joined", {"axis": 1}
        ),
    ]


def _in_floats(scores: Node, softmax: Node, mix: Node) -> _Attention:
    def part(end: str) -> list[Node]:
        result, inner = [], f"{scores.name}/queries{end}"
        for node, place in ((scores, 0), (softmax, 0), (mix, 1)):
            read = [*node.inputs]
            read[place] = inner
            inner = f"{node.outputs[0]}{end}"
            result.append(Node(node.kind, read, [inner], f"{node.name}{end}", node.attributes, node.carried))
        return result

    return _Attention([], f"{scores.name}/queries", scores.inputs[0], 1, part)


def _in_steps(graph: OnnxGraph, scores: Node, softmax: Node, mix: Node) -> _Attention:
    """By [queries, D]·[D, P] and [queries, P]·[P, V]: a product has UINT8 steps on its left and INT8 ones on its right."""
    query, key, values = f"{scores.name}/query", f"{scores.name}/key", f"{mix.name}/values"
    shares, mixed = softmax.name, mix.name
    last = graph.add_constant(f"{shares}/last", np.array(1 / 255, np.float32))
    before = [
        _node("Transpose", f"{query}/rows", scores.inputs[0], perm=[1, 0]),
        _node("ReduceMean", f"{key}/mean", scores.inputs[1], axes=[1], keepdims=1),
        _node("Sub", f"{key}/centred", scores.inputs[1], f"{key}/mean"),
        *_steps(graph, key, f"{key}/centred", axes=[0, 1], keepdims=0),
        *_steps(graph, values, mix.inputs[0], axes=[1], keepdims=1),
        _node("Transpose", f"{values}/rows", values, perm=[1, 0]),
    ]

    def part(end: str) -> list[Node]:
        found = [f"{query}/{word}{end}" for word in ("steps", "scale", "zero")]
        return [
            Node("DynamicQuantizeLinear", [f"{query}{end}"], found, found[0]),
            _node("MatMulInteger", f"{scores.name}/sums{end}", found[0], key, found[2]),
            _node("Cast", f"{scores.name}/floats{end}", f"{scores.name}/sums{end}", to=_FLOAT),
            _node("Mul", f"{scores.name}/scale{end}", found[1], f"{key}/scale"),
            _node("Mul", f"{scores.name}{end}", f"{scores.name}/floats{end}", f"{scores.name}/scale{end}"),
            _node("Softmax", f"{shares}{end}", f"{scores.name}{end}", axis=1),
            _node("ReduceMax", f"{shares}/largest{end}", f"{shares}{end}", axes=[1], keepdims=0),
            _node("Mul", f"{shares}/scale{end}", f"{shares}/largest{end}", last),
            _node("QuantizeLinear", f"{shares}/steps{end}", f"{shares}{end}", f"{shares}/scale{end}", axis=0),
            _node("MatMulInteger", f"{mixed}/sums{end}", f"{shares}/steps{end}", f"{values}/rows"),
            _node("Cast", f"{mixed}/floats{end}", f"{mixed}/sums{end}", to=_FLOAT),
            _node("Transpose", f"{mixed}/columns{end}", f"{mixed}/floats{end}", perm=[1, 0]),
            _node("Mul", f"{mixed}/scaled{end}", f"{mixed}/columns{end}", f"{shares}/scale{end}"),
            _node("Mul", f"{mixed}{end}", f"{mixed}/scaled{end}", f"{values}/scale"),
        ]

    return _Attention(before, query, f"{query}/rows", 0, part)


def _steps(graph: OnnxGraph, name: str, source: str, *, axes: list[int], keepdims: int) -> list[Node]:
    """Nodes that make INT8 steps `name` of `source`, 127 to either side along `axes`, and their `scale`.

    What is all zeros is of any step, times a scale of 0.
    """
    last, one, zero = (
        graph.add_constant(f"{name}/{word}", value)
        for word, value in (
            ("last", np.array(1 / 127, np.float32)),
            ("one", np.array(1, np.float32)),
            ("zero", np.array(0, np.int8)),
        )
    )
    return [
        _node("Abs", f"{name}/sizes", source),
        _node("ReduceMax", f"{name}/largest", f"{name}/sizes", axes=axes, keepdims=keepdims),
        _node("Mul", f"{name}/scale", f"{name}/largest", last),
        _node("Div", f"{name}/divided", source, f"{name}/scale"),
        _node("QuantizeLinear", name, f"{name}/divided", one, zero),
    ]


def _node(kind: str, result: str, *inputs: str, **attributes: Attribute) -> Node:
    """A node with the name of its result."""
    return Node(kind, [*inputs], [result], result, attributes)
