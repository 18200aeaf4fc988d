"""The few composite operations that every graph uses, on a `GraphWriter`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tdnet_export.identities import Array
from tdnet_export.onnx_writer import GraphWriter

__all__ = ["LEAK", "conv", "reshape", "resize", "sampled", "separable"]

LEAK = 0.01
"""Slope of LeakyReLU in FANet and the encodings."""


def conv(
    writer: GraphWriter,
    x: str,
    weight: Array,
    bias: Array | None = None,
    *,
    name: str,
    stride: int = 1,
    dilation: int = 1,
    padding: int | None = None,
    activation: str | None = None,
    as_output: str | None = None,
) -> str:
    """Convolution [1, I, h, w] → [1, O, h', w'], then `relu` or `leaky` if asked for.

    `padding` None keeps the size at stride 1.
    """
    kernel = weight.shape[2:]
    pad = dilation * (kernel[0] - 1) // 2 if padding is None else padding
    with writer.scope(name):
        inputs = [x, writer.weight("weight", weight)]
        if bias is not None:
            inputs.append(writer.weight("bias", bias))
        result = writer.op(
            "Conv",
            *inputs,
            as_output=None if activation else as_output,
            kernel_shape=list(kernel),
            strides=[stride, stride],
            dilations=[dilation, dilation],
            pads=[pad] * 4,
        )
        if activation == "relu":
            return writer.op("Relu", result, as_output=as_output)
        if activation == "leaky":
            return writer.op("LeakyRelu", result, as_output=as_output, alpha=LEAK)
        return result


def separable(writer: GraphWriter, x: str, rows: Array, columns: Array, *, name: str) -> str:
    """rows·x·columnsᵀ for each channel: [1, C, h, w] with [h', h] and [w', w] → [1, C, h', w']."""
    with writer.scope(name):
        across = writer.op("MatMul", x, writer.weight("columns", columns.T), name="across")
        return writer.op("MatMul", writer.weight("rows", rows), across, name="down")


def resize(
    writer: GraphWriter, x: str, shape: Sequence[int], *, name: str, as_output: str | None = None
) -> str:
    """Bilinear with aligned corners to `shape` [1, C, h, w]."""
    sizes = writer.integers(f"{name}_sizes", shape)
    return writer.op(
        "Resize",
        x,
        "",
        "",
        sizes,
        name=name,
        as_output=as_output,
        mode="linear",
        coordinate_transformation_mode="align_corners",
    )


def sampled(writer: GraphWriter, x: str, stride: int, *, name: str) -> str:
    """Every stride-th row and column, from 0: [1, C, h, w] → [1, C, ⌈h/stride⌉, ⌈w/stride⌉]."""
    with writer.scope(name):
        return writer.op(
            "Slice",
            x,
            writer.integers("starts", [0, 0]),
            writer.integers("ends", [np.iinfo(np.int64).max] * 2),
            writer.integers("axes", [2, 3]),
            writer.integers("steps", [stride, stride]),
        )


def reshape(
    writer: GraphWriter, x: str, shape: Sequence[int], *, name: str, as_output: str | None = None
) -> str:
    """The same values in another shape; one side may be -1."""
    return writer.op("Reshape", x, writer.integers(f"{name}_shape", shape), name=name, as_output=as_output)
