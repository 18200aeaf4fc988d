"""From the image to the trunk's feature maps (spec §2, dilated ResNet and td2-fa18)."""

from __future__ import annotations

import math

import numpy as np

from tdnet_export.identities import Array
from tdnet_export.onnx_writer import GraphWriter
from tdnet_export.ops import conv
from tdnet_export.weights import Weights
from tdnet_models.preprocessing import Preprocessing
from tdnet_models.resnet import layer_plan
from tdnet_models.variants import NetworkSpec

__all__ = ["damping", "write_normalised", "write_trunk"]


_LARGEST = 4.0  # of a normalised pixel; ImageNet's is 2.64


def damping(preprocessing: Preprocessing) -> float:
    """The power of two that normalised pixels are divided by, and the first convolution's weights multiplied.

    1 for all that is normalised; 64 for values 0 to 255, whose first weights would lie below FP16's normal range.
    """
    top = 255 * preprocessing.scale
    pairs = zip(preprocessing.mean, preprocessing.std, strict=True)
    largest = max(max(abs(mean), abs(top - mean)) / std for mean, std in pairs)
    return float(2 ** max(0, math.ceil(math.log2(largest / _LARGEST))))


def write_normalised(writer: GraphWriter, image: str, preprocessing: Preprocessing) -> str:
    """uint8 RGB [1, H, W, 3] → (x·scale − mean)/std/damping, [1, 3, H, W]; RGB whatever the network takes."""
    rgb, scale = preprocessing.rgb, preprocessing.scale
    mean, std = (np.reshape(values, (1, 3, 1, 1)) / scale for values in (rgb.mean, rgb.std))
    with writer.scope("normalise"):
        x = writer.op("Cast", image, to=writer.onnx_dtype)
        x = writer.op("Transpose", x, perm=[0, 3, 1, 2])
        x = writer.op("Sub", x, writer.weight("mean", mean))
        return writer.op("Mul", x, writer.weight("scale", 1 / (std * damping(preprocessing))))


def first_weights(weight: Array, preprocessing: Preprocessing) -> Array:
    """The stem's first convolution [O, 3, kh, kw] for what `write_normalised` gives: BGR costs nothing here."""
    turned = weight[:, ::-1] if preprocessing.color_order == "BGR" else weight
    return turned * damping(preprocessing)


def write_trunk(
    writer: GraphWriter,
    image: str,
    *,
    spec: NetworkSpec,
    weights: Weights,
    prefix: str,
    preprocessing: Preprocessing,
) -> list[str]:
    """`write_normalised`'s [1, 3, H, W] → outputs of layer1 to layer4 of the trunk `prefix`."""
    fanet = spec.variant.family == "fanet"
    first = "leaky" if fanet else "relu"
    with writer.scope("trunk"):
        x = _write_stem(
            writer,
            image,
            weights=weights,
            prefix=prefix,
            deep=spec.variant.deep_stem,
            activation=first,
            preprocessing=preprocessing,
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
    writer: GraphWriter,
    x: str,
    *,
    weights: Weights,
    prefix: str,
    deep: bool,
    activation: str,
    preprocessing: Preprocessing,
) -> str:
    if not deep:
        weight, bias = weights.conv(f"{prefix}.conv1", f"{prefix}.bn1")
        weight = first_weights(weight, preprocessing)
        return conv(writer, x, weight, bias, name="stem", stride=2, activation=activation)
    for position, norm, stride in ((0, "conv1.1", 2), (3, "conv1.4", 1), (6, "bn1", 1)):
        weight, bias = weights.conv(f"{prefix}.conv1.{position}", f"{prefix}.{norm}")
        weight = weight if position else first_weights(weight, preprocessing)
        x = conv(writer, x, weight, bias, name=f"stem{position // 3}", stride=stride, activation="relu")
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
