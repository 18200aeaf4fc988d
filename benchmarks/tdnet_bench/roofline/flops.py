"""Count what graphs cost, by node and by stage, from the ONNX alone; `costs.py` has the conventions."""

from __future__ import annotations

from collections.abc import Sequence

from tdnet_bench.roofline.costs import GraphCost, NodeCost, StageCost
from tdnet_bench.roofline.graph import Node, parse_graph
from tdnet_bench.roofline.ledger import Ledger
from tdnet_bench.roofline.operators import other_flops
from tdnet_runtime.bundle import Bundle

__all__ = ["bundle_costs", "graph_cost", "node_costs"]

_CONVERSIONS = frozenset({"Cast", "QuantizeLinear", "DequantizeLinear"})
"""Where precisions meet; such a node counts to the stage that it serves, whatever its name."""


def bundle_costs(bundle: Bundle, *, precision: str) -> tuple[GraphCost, ...]:
    """Costs of all graphs of the bundle in `precision`, in the manifest's order.

    Raises:
        MissingExtraError: `onnx` is not installed.
        BundleError: a graph is not one that can be counted, or the file was changed since it was opened.
    """
    return tuple(
        graph_cost(graph.name, bundle.read(graph.members[precision])) for graph in bundle.manifest.graphs
    )


def graph_cost(name: str, data: bytes) -> GraphCost:
    """Cost of the graph `name`, `data` being the ONNX file. Raises as `bundle_costs` does."""
    nodes, values, results = parse_graph(name, data)
    ledger = Ledger(nodes, values, results)
    stages = _stages(nodes)
    members: dict[str, list[int]] = {}
    for index, stage in enumerate(stages):
        members.setdefault(stage, []).append(index)
    return GraphCost(
        graph=name,
        stages=tuple(
            StageCost(stage=stage, nodes=len(group), **ledger.total(group))
            for stage, group in members.items()
        ),
        uncounted=tuple(sorted({node.operator for node in nodes if other_flops(node, values) is None})),
        **ledger.total(range(len(nodes))),
    )


def node_costs(name: str, data: bytes) -> tuple[NodeCost, ...]:
    """Cost of each node of the graph `name`, in the graph's order. Raises as `bundle_costs` does."""
    nodes, values, results = parse_graph(name, data)
    ledger = Ledger(nodes, values, results)
    return tuple(
        NodeCost(node=node.name, operator=node.operator, stage=stage, **ledger.total([index]))
        for index, (node, stage) in enumerate(zip(nodes, _stages(nodes), strict=True))
    )


def _stages(nodes: Sequence[Node]) -> list[str]:
    """The stage of each node."""
    makers = {name: index for index, node in enumerate(nodes) for name in node.outputs}
    users: dict[str, int] = {}
    stages = [_scope(node.name) for node in nodes]
    for index in reversed(range(len(nodes))):  # what a conversion serves comes after it
        node = nodes[index]
        if node.operator in _CONVERSIONS:
            served = users.get(node.outputs[0], makers.get(node.inputs[0], index))
            stages[index] = stages[served]
        users.update(dict.fromkeys(node.inputs, index))
    return stages


def _scope(name: str) -> str:
    first, *inner = name.split("/")
    return "/".join([first, *inner[:1]]) if first == "trunk" and len(inner) > 1 else first
