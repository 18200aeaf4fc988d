"""What a graph costs, as figures: arithmetic and memory traffic.

Conventions, the same for every engine:

* `matrix_flops` are two for each multiply-add of Conv, Gemm and MatMul, as in published figures; products
  with a convolution's padding are counted. All other arithmetic, biases too, is apart: `elementwise_flops`.
* Bytes are those that must be moved *at least*: a stride larger than the kernel skips what it skips, a
  Reshape moves nothing, and a quantised value has the size in which it is stored. Small constants that
  give shapes, axes or scales are left out.

A stage is the part of a graph whose nodes share a scope (`hop2/`, `head/`; of the trunk, each layer).
"""

from __future__ import annotations

from tdnet_bench.records.record import Record

__all__ = ["Cost", "GraphCost", "NodeCost", "StageCost"]


class Cost(Record, frozen=True, kw_only=True):
    """What some nodes cost together.

    Attributes:
        matrix_flops: by the type that is multiplied: `float32`, `float16`, `bfloat16` or `int8`.
        elementwise_flops: all other arithmetic; for orientation, since counting it is a convention.
        compulsory_bytes: traffic of an ideal fusion: each weight, and each value that comes from or goes
            to the outside, once.
        moved_bytes: traffic without any fusion: what each node by itself reads and writes.
    """

    matrix_flops: dict[str, int]
    elementwise_flops: int
    compulsory_bytes: int
    moved_bytes: int

    @property
    def flops(self) -> int:
        """`matrix_flops` of all types."""
        return sum(self.matrix_flops.values())


class NodeCost(Cost, frozen=True, kw_only=True):
    """Cost of one node."""

    node: str
    operator: str
    stage: str


class StageCost(Cost, frozen=True, kw_only=True):
    """Cost of one stage of a graph; its `compulsory_bytes` are those that cross its border."""

    stage: str
    nodes: int


class GraphCost(Cost, frozen=True, kw_only=True):
    """Cost of a graph.

    Attributes:
        graph: its name.
        stages: in the order in which they begin.
        uncounted: operators whose arithmetic is not known here and is missing; normally none.
    """

    graph: str
    stages: tuple[StageCost, ...]
    uncounted: tuple[str, ...]
