"""A small writer of ONNX graphs: scoped names, typed weights, nothing that changes from run to run.

Graphs are written node by node from the checkpoint's weights instead of being traced from PyTorch
(docs/adr/0002): node names are those of the network, the operator list is known, and there is
nothing of the exporting machine in the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from tdnet_runtime.manifest import TensorSpec

__all__ = ["IR_VERSION", "OPSET", "GraphWriter"]

OPSET = 17
"""The first with LayerNormalization; the parsers of TensorRT 8.6 to 11 read it."""
IR_VERSION = 8
"""The one that belongs to opset 17."""


class GraphWriter:
    """Collects nodes and weights; values are referred to by name.

    Args:
        name: of the graph.
        dtype: of weights and of all computed values; float64 in tests of exactness.
    """

    def __init__(self, name: str, *, dtype: npt.DTypeLike = np.float32) -> None:
        self.name = name
        self.dtype = np.dtype(dtype)
        self._scopes: list[str] = []
        self._nodes: list[onnx.NodeProto] = []
        self._weights: dict[str, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._taken: set[str] = set()

    @property
    def onnx_dtype(self) -> int:
        """The writer's dtype as ONNX names it."""
        return int(helper.np_dtype_to_tensor_dtype(self.dtype))

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Prefix names of nodes and weights with `name/`."""
        self._scopes.append(name)
        try:
            yield
        finally:
            self._scopes.pop()

    def input(self, spec: TensorSpec) -> str:
        """Declare a graph input; returns its name."""
        self._inputs.append(self._value_info(spec))
        self._taken.add(spec.name)
        return spec.name

    def output(self, value: str, spec: TensorSpec) -> None:
        """Declare `value`, which must bear the spec's name, a graph output."""
        if value != spec.name:
            raise ValueError(f"value {value!r} is declared as the output {spec.name!r}")
        self._outputs.append(self._value_info(spec))

    def weight(self, name: str, values: npt.ArrayLike) -> str:
        """A floating-point constant of the writer's dtype."""
        return self._initializer(name, np.ascontiguousarray(values, dtype=self.dtype))

    def integers(self, name: str, values: npt.ArrayLike) -> str:
        """An int64 constant: axes, sizes, indices."""
        return self._initializer(name, np.ascontiguousarray(values, dtype=np.int64))

    def op(
        self,
        kind: str,
        *inputs: str,
        name: str | None = None,
        as_output: str | None = None,
        **attributes: Any,
    ) -> str:
        """Append a node with one output.

        Args:
            kind: ONNX operator.
            inputs: value names; "" for an optional input left out.
            name: of the node inside the scope; the operator's lower-case name by default.
            as_output: name of the value where it is to be a graph output; the node's name otherwise.
            attributes: of the node.

        Returns:
            The name of its value.
        """
        node_name = self._unique(name or kind.lower())
        value = as_output or node_name
        self._nodes.append(helper.make_node(kind, list(inputs), [value], name=node_name, **attributes))
        return value

    def model(self) -> onnx.ModelProto:
        """The finished model; nothing in it depends on time, folder or machine."""
        graph = helper.make_graph(
            self._nodes, self.name, self._inputs, self._outputs, initializer=list(self._weights.values())
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="tdnet-export",
        )

    def _initializer(self, name: str, values: npt.NDArray[Any]) -> str:
        unique = self._unique(name)
        self._weights[unique] = numpy_helper.from_array(values, unique)
        return unique

    def _unique(self, name: str) -> str:
        base = "/".join([*self._scopes, name])
        unique, number = base, 1
        while unique in self._taken:
            number += 1
            unique = f"{base}_{number}"
        self._taken.add(unique)
        return unique

    def _value_info(self, spec: TensorSpec) -> onnx.ValueInfoProto:
        return value_info(spec, floating=self.onnx_dtype)


def value_info(spec: TensorSpec, *, floating: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    """`spec` as ONNX declares it; float32 there becomes `floating`."""
    kind = int(helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype)))
    return helper.make_tensor_value_info(
        spec.name, floating if kind == TensorProto.FLOAT else kind, spec.shape
    )
