"""What every node of a graph costs, to be added up over any group of nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tdnet_bench.roofline.graph import Node, Value
from tdnet_bench.roofline.operators import MATRIX, VIEWS, elements_read, matrix_flops, other_flops

__all__ = ["Ledger"]


class Ledger:
    """What every node computes, reads and writes, to be added up over any group of nodes.

    Traffic is booked under a value's owner: the value in whose memory it lies.
    """

    def __init__(self, nodes: Sequence[Node], values: Mapping[str, Value], results: Sequence[str]) -> None:
        self._values = values
        self._owners = {name: name for name in values}
        for node in nodes:
            if node.operator in VIEWS:
                self._owners[node.outputs[0]] = self._owners[node.inputs[0]]
        self._nodes = nodes
        self._results = {self._owners[name] for name in results}
        self._read = [self._reads(node) for node in nodes]
        self._written = [self._writes(node) for node in nodes]
        self._readers: dict[str, set[int]] = {}
        for index, read in enumerate(self._read):
            for owner in read:
                self._readers.setdefault(owner, set()).add(index)

    def total(self, group: Sequence[int]) -> dict[str, Any]:
        """The fields of `Cost` for the nodes with these indices."""
        matrix: Counter[str] = Counter()
        read: dict[str, int] = {}
        written: dict[str, int] = {}
        for index in group:
            node = self._nodes[index]
            if node.operator in MATRIX:
                matrix[self._multiplied(node)] += matrix_flops(node, self._values)
            written |= self._written[index]
            for owner, count in self._read[index].items():
                read[owner] = max(read.get(owner, 0), count)
        inside = set(group)
        leaving = (o for o in written if o in self._results or self._readers.get(o, set()) - inside)
        return {
            "matrix_flops": dict(matrix),
            "elementwise_flops": sum(other_flops(self._nodes[i], self._values) or 0 for i in group),
            "compulsory_bytes": sum(count for owner, count in read.items() if owner not in written)
            + sum(written[owner] for owner in leaving),
            "moved_bytes": sum(sum(self._read[i].values()) + sum(self._written[i].values()) for i in group),
        }

    def _multiplied(self, node: Node) -> str:
        """Type of a product: `int8` where both factors are stored in 8 bits."""
        stored = {self._values[self._owners[name]].dtype for name in node.inputs[:2]}
        return "int8" if stored <= {"int8", "uint8"} else self._values[node.inputs[0]].dtype

    def _reads(self, node: Node) -> dict[str, int]:
        """Bytes by owner."""
        if node.operator in VIEWS:
            return {}
        read: dict[str, int] = {}
        for position, name in enumerate(node.data_inputs):
            owner = self._owners[name]
            elements = elements_read(node, position, self._values)
            read[owner] = max(read.get(owner, 0), elements * self._values[owner].item_bytes)
        return read

    def _writes(self, node: Node) -> dict[str, int]:
        """Bytes by owner."""
        if node.operator in VIEWS:
            return {}
        return {n: self._values[n].size * self._values[n].item_bytes for n in node.outputs if n}
