"""From a written FP32 graph to a strongly typed FP16 graph, and which of its nodes stay FP32.

Precision is in the graph, not in a flag of the engine builder: every value has the type that the
graph states, in TensorRT 10 and 11 (strongly typed networks), TensorRT-RTX and ONNX Runtime alike.

All floating-point nodes become FP16 except those of `FP32_ISLANDS`. At the shore of an island stands
one Cast for each value that crosses; inside there are none. What the graphs exchange is FP16 too
(`half_tensors`), so a stream's memory takes half the space.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tdnet_export.attention_padding import pad_attention
from tdnet_export.contract import GraphTensors
from tdnet_export.layer_norm import write_out_layer_norms
from tdnet_export.precision_check import constant_complaint, is_additive, value_types
from tdnet_runtime.errors import ExportError

__all__ = ["FP32_ISLANDS", "FP32_TENSORS", "Island", "half_precision_model", "half_tensors"]

_SUFFIX: dict[int, str] = {TensorProto.FLOAT: "to_fp32", TensorProto.FLOAT16: "to_fp16"}
_INNER: dict[int, str] = {TensorProto.FLOAT: "fp32", TensorProto.FLOAT16: "fp16"}

FP32_TENSORS = frozenset({"warm", "recomposed", "logits"})
"""Graph inputs and outputs that are float32 in FP16 graphs too: the runtime's own and those that people read."""


@dataclass(frozen=True, slots=True)
class Island:
    """Nodes that stay FP32: a regular expression for their whole names, and why."""

    nodes: str
    reason: str

    def covers(self, node: str) -> bool:
        """True where the node of that name stays FP32."""
        return re.fullmatch(self.nodes, node) is not None


# Each row has a test of its reason in tests/export/test_precision.py.
# What is not here was tried and brought nothing, or too little for its price: `scores` and `mix` of
# the hops, the head, `upsample` and `argmax` (twice the memory traffic of the largest tensor).
FP32_ISLANDS: tuple[Island, ...] = (
    Island(
        r"normalise/.*",
        "255·mean and 1/(255·std) are not FP16 numbers: all pixels of a channel would be off by the same amount",
    ),
    Island(
        r"pyramid/pool/grid1/down",
        "the 1×1 bin, a mean over all h·w positions; with one result for each channel it is no tensor core's "
        "product, so nothing says that it is summed in FP32",
    ),
    Island(
        r"neck/ffm_\d+/(query|key)/(reducel2|max|div)",
        "unit vectors: eps 1e-12 is 0 in FP16, so that a zero vector would give 0/0; squares overflow from 256 on",
    ),
    Island(
        r"neck/ffm_\d+/(context|mixed|mixed_map|latlayer3/.*)",
        "sums over all positions that nothing divides: they overflow on uniform frames, and the weights that "
        "undo them are subnormal in FP16",
    ),
    Island(
        r"hop\d+/centre/.*",
        "a mean over all positions of the memory, of which there are 18,721 where none is left out",
    ),
    Island(
        r"hop\d+/shares",
        "softmax: a sum over all positions of the memory; in FP16 a sum of ones ends at 2,048",
    ),
    Island(
        r"recomposed",
        "V' has a large constant in each channel that the LayerNorm removes, and with it what rounding left of the rest",
    ),
    Island(
        r"layer_norm/.*",
        "mean and variance over all h·w positions: squares of ordinary size sum to more than 65,504",
    ),
    Island(
        r"to_float|to_uint8",
        "labels: UINT8 comes from FLOAT as TensorRT's header has it, and next to nothing is converted",
    ),
    Island(
        r"confidence/(sum|share|steps|round|to_uint8)",
        "shares near 1 are 255 over a sum of 1 and of parts that FP16 does not add to it; before and after, UINT8 as above",
    ),
)


def half_tensors(tensors: GraphTensors) -> GraphTensors:
    """The graph's contract in FP16: float16 for float32, except `FP32_TENSORS`."""
    inputs, outputs = (
        tuple(
            msgspec.structs.replace(spec, dtype="float16")
            if spec.dtype == "float32" and spec.name not in FP32_TENSORS
            else spec
            for spec in specs
        )
        for specs in (tensors.inputs, tensors.outputs)
    )
    return GraphTensors(tensors.name, inputs, outputs)


def half_precision_model(
    model: onnx.ModelProto, *, islands: Sequence[Island] = FP32_ISLANDS
) -> onnx.ModelProto:
    """The same graph in FP16, with FP32 islands; nodes keep their names and their order.

    LayerNorms are written out, and the attention's products padded to sides that divide by 8. Inner values that
    are to be shown are declared before (`with_outputs`): a declared output whose
    node is of another precision gets a Cast of its own.

    Args:
        model: FP32, as `GraphJob.write` makes it; not changed.
        islands: which nodes stay FP32.

    Raises:
        ExportError: constants that FP16 cannot hold; all are named.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    write_out_layer_norms(result)
    pad_attention(result)
    graph = result.graph
    single = {name for name, (kind, _) in value_types(result).items() if kind == TensorProto.FLOAT}
    for value in (*graph.input, *graph.output):
        if value.name in single:
            value.type.tensor_type.elem_type = _kind(value.name in FP32_TENSORS)
    kinds = {node.name: _kind(any(island.covers(node.name) for island in islands)) for node in graph.node}
    homes = {value.name: value.type.tensor_type.elem_type for value in graph.input if value.name in single}
    homes |= {node.output[0]: kinds[node.name] for node in graph.node if node.output[0] in single}
    homes |= _convert_constants(graph, kinds)
    nodes = _with_casts(graph, kinds, homes)
    del graph.node[:]
    graph.node.extend(nodes)
    return result


def _kind(single: bool) -> int:
    return TensorProto.FLOAT if single else TensorProto.FLOAT16


def _convert_constants(graph: onnx.GraphProto, kinds: dict[str, int]) -> dict[str, int]:
    """Make the constants that only FP16 nodes use FP16; returns the type of each floating-point one."""
    users: dict[str, list[tuple[onnx.NodeProto, int]]] = {}
    for node in graph.node:
        for index, name in enumerate(node.input):
            users.setdefault(name, []).append((node, index))
    homes, complaints = {}, []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        uses = users.get(tensor.name, [])
        homes[tensor.name] = _kind(any(kinds[node.name] == TensorProto.FLOAT for node, _ in uses))
        if homes[tensor.name] == TensorProto.FLOAT16:
            values = numpy_helper.to_array(tensor)
            additive = all(is_additive(node, index) for node, index in uses)
            complaint = constant_complaint(tensor.name, values, additive=additive)
            complaints += [complaint] if complaint else []
            with np.errstate(over="ignore"):  # what overflows is among the complaints
                tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), tensor.name))
    if complaints:
        raise ExportError(
            f"graph {graph.name!r} cannot be written in FP16: {'; '.join(complaints)}. "
            "Export this network with --precision fp32."
        )
    return homes


def _with_casts(graph: onnx.GraphProto, kinds: dict[str, int], homes: dict[str, int]) -> list[onnx.NodeProto]:
    """The graph's nodes, with a Cast before the first node that needs a value in the other type.

    Args:
        graph: with types of inputs and outputs as they shall be.
        kinds: element type of each node, by its name.
        homes: element type in which each floating-point value comes into being, by its name.
    """
    declared = {value.name: value.type.tensor_type.elem_type for value in graph.output}
    names = {(name, home): name for name, home in homes.items()}
    nodes: list[onnx.NodeProto] = []

    def cast(source: str, target: str, kind: int) -> None:
        nodes.append(helper.make_node("Cast", [source], [target], name=target, to=kind))

    for original in graph.node:
        node = onnx.NodeProto()
        node.CopyFrom(original)
        kind = kinds[node.name]
        for index, name in enumerate(node.input):
            if name in homes:
                if (name, kind) not in names:
                    names[name, kind] = f"{name}/{_SUFFIX[kind]}"
                    cast(names[name, homes[name]], names[name, kind], kind)
                node.input[index] = names[name, kind]
        (name,) = node.output
        if node.op_type == "Cast" and name in homes:
            node.attribute[0].i = kind
        nodes.append(node)
        if name in homes and declared.get(name, kind) != kind:
            node.output[0] = names[name, kind] = f"{name}/{_INNER[kind]}"
            names[name, declared[name]] = name
            cast(node.output[0], name, declared[name])
    return nodes
