"""From the image to the trunk's feature maps (spec §2, dilated ResNet and td2-fa18)."""

from __future__ import annotations

import numpy as np

from tdnet_export.onnx_writer import GraphWriter
from tdnet_export.ops import conv
from tdnet_export.weights import Weights
from tdnet_models.reference import MEAN, STD
from tdnet_models.resnet import layer_plan
from tdnet_models.variants import NetworkSpec

__all__ = ["write_normalised", "write_trunk"]


def write_normalised(writer: GraphWriter, image: str) -> str:
    """uint8 RGB [1, H, W, 3] → (x/255 − mean)/std, [1, 3, H, W]."""
    mean, std = (255 * np.reshape(values, (1, 3, 1, 1)) for values in (MEAN, STD))
    with writer.scope("normalise"):
        x = writer.op("Cast", image, to=writer.onnx_dtype)
        x = writer.op("Transpose", x, perm=[0, 3, 1, 2])
        x = writer.op("Sub", x, writer.weight("mean", mean))
        return writer.op("Mul", x, writer.weight("scale", 1 / std))


def write_trunk(
    writer: GraphWriter, image: str, *, spec: NetworkSpec, weights: Weights, prefix: str
) -> list[str]:
    """Normalised [1, 3, H, W] → outputs of layer1 to layer4 of the trunk `prefix`."""
    fanet = spec.variant.family == "fanet"
    first = "leaky" if fanet else "relu"
    with writer.scope("trunk"):
        x = _write_stem(
            writer, image, weights=weights, prefix=prefix, deep=spec.variant.deep_stem, activation=first
        )
        x = writer.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        outputs = []
        for number, blocks in enumerate(layer_plan(spec), start=1):
            for index, plan in enumerate(blocks):
                with writer.scope(f"layer{number}/{index}"):
                    block = f"{prefix}.layer{number}.{index}"
                    write = _write_bottleneck if spec.variant.bottleneck else _write_basic
                    x = write(writer, x, weights=weights, block=block, plan=plan, activation=first)
            outputs.append(x)
    return outputs


def _write_stem(
    writer: GraphWriter, x: str, *, weights: Weights, prefix: str, deep: bool, activation: str
) -> str:
    if not deep:
        folded = weights.conv(f"{prefix}.conv1", f"{prefix}.bn1")
        return conv(writer, x, *folded, name="stem", stride=2, activation=activation)
    for position, norm, stride in ((0, "conv1.1", 2), (3, "conv1.4", 1), (6, "bn1", 1)):
        folded = weights.conv(f"{prefix}.conv1.{position}", f"{prefix}.{norm}")
        x = conv(writer, x, *folded, name=f"stem{position // 3}", stride=stride, activation="relu")
    return x


def _write_shortcut(writer: GraphWriter, x: str, *, weights: Weights, block: str, stride: int) -> str:
    if f"{block}.downsample.0.weight" not in weights:
        return x
    folded = weights.conv(f"{block}.downsample.0", f"{block}.downsample.1")
    return conv(writer, x, *folded, name="shortcut", stride=stride)


def _write_basic(
    writer: GraphWriter, x: str, *, weights: Weights, block: str, plan: tuple[int, int, int], activation: str
) -> str:
    stride, dilation, layer_dilation = plan
    shortcut = _write_shortcut(writer, x, weights=weights, block=block, stride=stride)
    one = weights.conv(f"{block}.conv1", f"{block}.bn1")
    x = conv(writer, x, *one, name="conv1", stride=stride, dilation=dilation, activation=activation)
    x = conv(
        writer, x, *weights.conv(f"{block}.conv2", f"{block}.bn2"), name="conv2", dilation=layer_dilation
    )
    return writer.op("Relu", writer.op("Add", x, shortcut))


def _write_bottleneck(
    writer: GraphWriter, x: str, *, weights: Weights, block: str, plan: tuple[int, int, int], activation: str
) -> str:
    stride, dilation, _ = plan
    shortcut = _write_shortcut(writer, x, weights=weights, block=block, stride=stride)
    x = conv(writer, x, *weights.conv(f"{block}.conv1", f"{block}.bn1"), name="conv1", activation=activation)
    two = weights.conv(f"{block}.conv2", f"{block}.bn2")
    x = conv(writer, x, *two, name="conv2", stride=stride, dilation=dilation, activation=activation)
    x = conv(writer, x, *weights.conv(f"{block}.conv3", f"{block}.bn3"), name="conv3")
    return writer.op("Relu", writer.op("Add", x, shortcut))
