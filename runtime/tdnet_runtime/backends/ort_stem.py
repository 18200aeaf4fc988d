"""The first convolution of an INT8 graph on the picture's own bytes.

In bundles it reads pixels that are normalised, each channel in its own way, and rounded again to steps, or FP32 where
that costs too much. Here the normalisation is in the weights and the bias. Pixels are read as they are, with no
rounding; weights are rounded to 8 bits for each output channel. Around the picture there are pixels of the mean colour
(in whole steps), where the FP32 convolution has zeros.

A convolution of three channels would spend its time on gathering: so it reads blocks of four pixels as one place of
twelve channels, and gives all their results as channels of one place. In memory nothing moves for that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tdnet_runtime.backends.onnx_bytes import OnnxGraph
from tdnet_runtime.backends.onnx_node import Node
from tdnet_runtime.manifest import TensorSpec

__all__ = ["stem_in_steps", "steps_of"]

_BLOCK = 4  # pixels
_LARGEST_STEP = 127
_BIAS_STEPS = 2.0**24  # a bias is rounded to 32 bits in steps of the weights' scale
_STEPS = ("QuantizeLinear", "DequantizeLinear")
_CHAINS = tuple(
    ("Cast", "Transpose", "Sub", "Mul", *pixels, "Conv", "Relu", *_STEPS) for pixels in ((), _STEPS)
)
_CHANNELS_LAST, _CHANNELS_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]


def steps_of(source: str, result: str, scale: str, zero: str) -> list[Node]:
    """QuantizeLinear and DequantizeLinear of the value `source`, which give `result`."""
    steps = f"{result}/steps"
    return [
        Node("QuantizeLinear", [source, scale, zero], [steps], f"{result}/quantise"),
        Node("DequantizeLinear", [steps, scale, zero], [result], f"{result}/restore"),
    ]


def stem_in_steps(graph: OnnxGraph, image: TensorSpec) -> bool:
    """Let the first convolution read `image`'s bytes, if the graph begins as the exporter writes it.

    Args:
        graph: with the nodes of one of `_CHAINS`, one after the other, at its beginning; left as it is where it has
            another one, or a mean colour that no pixel has.
        image: uint8 [1, H, W, 3].

    Returns:
        Whether it does.
    """
    stem = _found(graph, image)
    plan = None if stem is None else _plan(stem, image)
    if stem is None or plan is None:
        return False
    add = graph.add_constant
    weights, scales, bias = _steps(stem)
    colour = np.rint(stem.mean).astype(np.uint8)
    rows, columns = plan.rows, plan.columns
    wide = image.shape[2] + sum(columns)
    before, after = (np.broadcast_to(colour, (1, image.shape[1], count, 3)) for count in columns)
    above, below = (np.broadcast_to(colour, (1, count, wide, 3)) for count in rows)
    blocks = [1, image.shape[1] + sum(rows), wide // _BLOCK, _BLOCK * 3]
    copies = plan.copies
    begin = [
        Node(
            "Concat",
            [add("stem/before", before), image.name, add("stem/after", after)],
            ["stem/wide"],
            "stem/wide",
            {"axis": 2},
        ),
        Node(
            "Concat",
            [add("stem/above", above), "stem/wide", add("stem/below", below)],
            ["stem/framed"],
            "stem/framed",
            {"axis": 1},
        ),
        Node(
            "Reshape",
            ["stem/framed", add("stem/blocks_shape", np.array(blocks))],
            ["stem/blocks"],
            "stem/blocks",
        ),
        Node(
            "DequantizeLinear",
            [
                "stem/blocks",
                add("stem/one", np.float32(1).reshape(())),
                add("stem/zero", np.uint8(0).reshape(())),
            ],
            ["stem/pixels"],
            "stem/pixels",
        ),
        Node("Transpose", ["stem/pixels"], ["stem/planes"], "stem/planes", {"perm": _CHANNELS_FIRST}),
        Node(
            "DequantizeLinear",
            [
                add("stem/weight_steps", _in_blocks(weights, copies, stem.stride)),
                add("stem/weight_scales", np.tile(scales, copies)),
                add("stem/weight_zeros", np.zeros(copies * len(weights), np.int8)),
            ],
            ["stem/weight"],
            "stem/weight",
            {"axis": 0},
        ),
    ]
    conv, relu, quantise, restore = stem.chain
    made = Node(
        "Conv",
        ["stem/planes", "stem/weight", add("stem/bias", np.tile(bias, copies))],
        conv.outputs,
        conv.name,
        {
            "kernel_shape": [stem.weight.shape[2], plan.kernel_blocks],
            "strides": [stem.stride, 1],
            "pads": [0] * 4,
        },
    )
    scale, zero = restore.inputs[1:3]
    result, restore.outputs[0] = restore.outputs[0], "stem/all"
    high, across, wanted = plan.high, plan.across, plan.wanted
    end = [
        Node("Transpose", ["stem/all"], ["stem/last"], "stem/last", {"perm": _CHANNELS_LAST}),
        Node(
            "Reshape",
            ["stem/last", add("stem/places_shape", np.array([1, high, across * copies, len(weights)]))],
            ["stem/places"],
            "stem/places",
        ),
        *steps_of("stem/places", "stem/known", scale, zero),
    ]
    last = "stem/known"
    if wanted < across * copies:
        limits = [
            add(f"stem/{name}", np.array([value]))
            for name, value in (("from", 0), ("to", wanted), ("axis", 2))
        ]
        end += [
            Node("Slice", [last, *limits], ["stem/cut"], "stem/cut"),
            *steps_of("stem/cut", "stem/kept", scale, zero),
        ]
        last = "stem/kept"
    end += [
        Node("Transpose", [last], ["stem/first"], "stem/first", {"perm": _CHANNELS_FIRST}),
        *steps_of("stem/first", result, scale, zero),
    ]
    gone = {id(node) for node in (*stem.normalise, *stem.chain)}
    rest = [node for node in graph.nodes if id(node) not in gone]
    graph.nodes = [*begin, made, relu, quantise, restore, *end, *rest]
    return True


@dataclass(frozen=True, slots=True)
class _Stem:
    """The beginning of a graph: its nodes, and what they hold in float64."""

    normalise: tuple[Node, ...]
    chain: tuple[Node, Node, Node, Node]
    mean: npt.NDArray[Any]
    weight: npt.NDArray[Any]
    bias: npt.NDArray[Any]
    stride: int
    padding: int


@dataclass(frozen=True, slots=True)
class _Plan:
    """Sizes: `copies` results for each block, in `across` blocks; rows and columns of colour before and after."""

    copies: int
    kernel_blocks: int
    high: int
    across: int
    wanted: int
    rows: tuple[int, int]
    columns: tuple[int, int]


def _found(graph: OnnxGraph, image: TensorSpec) -> _Stem | None:
    readers, makers, value = graph.readers(), graph.makers(), image.name
    chain: list[Node] = []
    while len(readers.get(value, [])) == 1 and value not in graph.outputs:
        (node,) = readers[value]
        if node.inputs[0] != value or tuple(each.kind for each in chain) in _CHAINS:
            break
        chain.append(node)
        value = node.outputs[0]
    if tuple(node.kind for node in chain) not in _CHAINS:
        return None
    _, _, subtract, multiply, *_, conv, _, quantise, _ = chain
    maker = makers.get(conv.inputs[1])
    weight = graph.constant(conv.inputs[1]) if maker is None else _restored(graph, maker)
    held = [graph.constant(name) for name in (subtract.inputs[1], multiply.inputs[1], conv.inputs[-1])]
    zero = graph.constant(quantise.inputs[2])
    if (
        len(conv.inputs) != 3
        or weight is None
        or any(each is None for each in held)
        or zero is None
        or zero.any()
    ):
        return None
    mean, factor, bias = (np.asarray(each, np.float64) for each in held)
    strides, pads = conv.attributes.get("strides"), conv.attributes.get("pads")
    plain = conv.attributes.get("dilations", [1, 1]) == [1, 1] and conv.attributes.get("group", 1) == 1
    if not (
        plain
        and isinstance(strides, list)
        and isinstance(pads, list)
        and len({*strides}) == len({*pads}) == 1
    ):
        return None
    if (
        mean.size != 3
        or mean.min() < 0
        or mean.max() > 255
        or factor.size != 3
        or strides[0] not in (1, 2, 4)
    ):
        return None
    return _Stem(
        tuple(chain[:-4]),
        (chain[-4], chain[-3], chain[-2], chain[-1]),
        mean.reshape(3),
        np.asarray(weight, np.float64) * factor.reshape(1, 3, 1, 1),
        bias,
        strides[0],
        pads[0],
    )


def _restored(graph: OnnxGraph, node: Node) -> npt.NDArray[Any] | None:
    """The weights that a DequantizeLinear gives, [O, …], if that is what the node is."""
    held = [graph.constant(name) for name in node.inputs]
    if node.kind != "DequantizeLinear" or any(each is None for each in held):
        return None
    steps, scales, zeros = (np.asarray(each, np.float64) for each in held)
    shape = (-1, *[1] * (steps.ndim - 1))
    return (steps - zeros.reshape(shape)) * scales.reshape(shape)


def _plan(stem: _Stem, image: TensorSpec) -> _Plan | None:
    _, height, width, _ = image.shape
    kernel, stride, padding = stem.weight.shape[2], stem.stride, stem.padding
    high, wanted = ((side + 2 * padding - kernel) // stride + 1 for side in (height, width))
    copies = _BLOCK // stride
    across = -(-wanted // copies)
    kernel_blocks = -(-(stride * (copies - 1) + kernel) // _BLOCK)
    below = (high - 1) * stride + kernel - height - padding
    after = (across - 1 + kernel_blocks) * _BLOCK - width - padding
    if below < 0 or after < 0:
        return None
    return _Plan(copies, kernel_blocks, high, across, wanted, (padding, below), (padding, after))


def _steps(stem: _Stem) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Weights in steps [O, 3, k, k], their scales [O], and the bias [O] with the mean colour's part in it."""
    axes = (1, 2, 3)
    top = np.abs(stem.weight).max(axes)
    scales = np.maximum(
        top / _LARGEST_STEP, (np.abs(stem.bias) + 255 * np.abs(stem.weight).sum(axes)) / _BIAS_STEPS
    )
    scales = np.where(scales > 0, scales, 1).astype(np.float32)
    steps = np.rint(stem.weight / scales.reshape(-1, 1, 1, 1)).astype(np.int8)
    shares = steps.sum((2, 3), dtype=np.float64) @ stem.mean
    return steps, scales, (stem.bias - scales * shares).astype(np.float32)


def _in_blocks(weights: npt.NDArray[np.int8], copies: int, stride: int) -> npt.NDArray[np.int8]:
    """[O, 3, k, k] → [copies·O, 3·block, k, blocks]: each copy reads `stride` pixels further on."""
    count, colours, kernel, _ = weights.shape
    blocks = -(-(stride * (copies - 1) + kernel) // _BLOCK)
    spread = np.zeros((copies, count, colours, kernel, blocks * _BLOCK), np.int8)
    for copy in range(copies):
        spread[copy, ..., copy * stride : copy * stride + kernel] = weights
    apart = spread.reshape(copies * count, colours, kernel, blocks, _BLOCK)
    return np.ascontiguousarray(apart.transpose(0, 4, 1, 2, 3)).reshape(
        copies * count, _BLOCK * colours, kernel, blocks
    )
