"""The attention propagation module and what follows it: `apm{p}` (spec §1, §2, §5).

All maps of the memory are [channels, positions]; values are projected by φ on the memory side,
where there are few positions, and the chain among past frames needs nothing of the current one.

What is the same at all positions of a channel does not matter: attention hands it on (its shares sum
to 1), and the LayerNorm after the last hop removes it. So φ's bias is left out, and the values are
centred before φ, since FP16 would spend most of its bits on their means.
"""

from __future__ import annotations

import math

from onnx import TensorProto

from tdnet_export.confidence_graph import write_sigmoid_confidence, write_softmax_confidence
from tdnet_export.identities import Array
from tdnet_export.onnx_writer import GraphWriter
from tdnet_export.ops import conv, reshape, resize
from tdnet_export.weights import Weights
from tdnet_models.tdnet import hop_name, read_order
from tdnet_models.variants import KEY_WIDTH, NetworkSpec

__all__ = ["write_head", "write_labels", "write_recomposed"]


def write_recomposed(
    writer: GraphWriter, *, spec: NetworkSpec, weights: Weights, path: int, query: str, value: str, warm: str
) -> str:
    """Q [1, D, h, w], V [1, V, h, w] and the slots → V' [1, V, h, w]; V itself where `warm` is 0.

    Up to a constant in each channel; see the module.
    """
    order = read_order(spec.variant.paths, path)
    carried = f"slot{order[0]}_v"
    for hop, read in enumerate(order):
        weight, _ = weights.conv(f"{hop_name(spec.variant.paths, path, read)}.fc.0.conv")
        with writer.scope(f"hop{read}"):
            projected = write_phi_on_memory(writer, carried, weight[:, :, 0, 0])
            if hop < len(order) - 1:
                newer = order[hop + 1]
                carried = write_attention(writer, f"slot{newer}_q", f"slot{read}_k", projected)
                carried = writer.op("Add", carried, f"slot{newer}_v", name="updated")
            else:
                projected = writer.op("Mul", projected, warm, name="gated")
                rows = reshape(writer, query, [KEY_WIDTH, -1], name="query_rows")
                mixed = write_attention(writer, rows, f"slot{read}_k", projected)
                shape = [1, spec.value, *spec.feature_size]
                carried = reshape(writer, mixed, shape, name="mixed_map")
    return writer.op("Add", carried, value, name="recomposed")


def write_phi_on_memory(writer: GraphWriter, values: str, weight: Array) -> str:
    """φ of the memory's centred values instead of the attention's result: [V, P] → [V, P].

    fc(A·v) = A·(v·W + b) since the rows of A sum to 1 (spec §5); without b and v's mean over the positions
    it is less by a constant in each channel.
    """
    mean = writer.op("ReduceMean", values, name="centre/mean", axes=[1], keepdims=1)
    centred = writer.op("Sub", values, mean, name="centre/subtract")
    return writer.op("MatMul", writer.weight("phi", weight), centred, name="project")


def write_attention(writer: GraphWriter, query: str, key: str, values: str) -> str:
    """values·softmax(qᵀk)ᵀ: query [D, Q] (already over √d_k), key [D, P], values [V, P] → [V, Q]."""
    scores = writer.op("Gemm", query, key, name="scores", transA=1)  # [Q, P]
    shares = writer.op("Softmax", scores, name="shares", axis=1)
    return writer.op("Gemm", values, shares, name="mix", transB=1)


def write_head(writer: GraphWriter, value: str, *, spec: NetworkSpec, weights: Weights, path: int) -> str:
    """V' [1, V, h, w] → LayerNorm, head → [1, K, h, w]."""
    x = write_layer_norm(writer, value, spec=spec, weights=weights, path=path)
    with writer.scope("head"):
        if spec.variant.family == "fanet":
            x = conv(writer, x, *weights.conv_norm(f"head{path}.conv"), name="conv", activation="leaky")
            return conv(writer, x, *weights.conv(f"head{path}.conv_out"), name="classes")
        return write_psp_head(writer, x, weights=weights, module=f"head{path}.conv5", first=0)


def write_layer_norm(
    writer: GraphWriter, value: str, *, spec: NetworkSpec, weights: Weights, path: int
) -> str:
    """LayerNorm of each channel's plane, [1, V, h, w] → [1, V, h, w].

    The plane is one axis: over two axes of a 4-D tensor TensorRT's `addNormalization` may mean InstanceNorm, and only
    the gain's shape tells them apart. FP16 graphs have the same written out (`layer_norm`).
    """
    norm = f"layer_norm{path}.ln"
    with writer.scope("layer_norm"):
        x = reshape(writer, value, [1, spec.value, -1], name="rows")
        gain, shift = (
            writer.weight(leaf, weights.array(f"{norm}.{leaf}").reshape(-1)) for leaf in ("weight", "bias")
        )
        x = writer.op("LayerNormalization", x, gain, shift, axis=2, epsilon=1e-5)
        return reshape(writer, x, [1, spec.value, *spec.feature_size], name="map")


def write_psp_head(writer: GraphWriter, x: str, *, weights: Weights, module: str, first: int) -> str:
    """3×3 convolution (at index `first` of the module), BN, ReLU, 1×1 convolution."""
    folded = weights.conv(f"{module}.{first}", f"{module}.{first + 1}")
    x = conv(writer, x, *folded, name="conv", activation="relu")
    return conv(writer, x, *weights.conv(f"{module}.{first + 4}"), name="classes")


def logit(probability: float) -> float:
    """The number whose sigmoid `probability` is; 0 for 0.5."""
    return math.log(probability) - math.log1p(-probability)


def write_labels(
    writer: GraphWriter, scores: str, *, spec: NetworkSpec, threshold: float | None, confidence: bool = False
) -> None:
    """Scores [1, K, h, w] → the value `logits` [1, K, H, W] → the output `labels`, uint8 [1, H, W].

    The largest logit's class; with one class (K = 1), 1 where sigmoid(logit) is above `threshold`. With
    `confidence` also that output; see `confidence_graph`.
    """
    logits = resize(writer, scores, [1, spec.classes, *spec.input_size], name="upsample", as_output="logits")
    if threshold is None:
        best = writer.op("ArgMax", logits, axis=1, keepdims=0)
    else:
        plane = reshape(writer, logits, [1, *spec.input_size], name="plane")
        best = writer.op("Greater", plane, writer.weight("threshold", logit(threshold)), name="above")
    # TensorRT converts to UINT8 from floats only (kUINT8 in NvInferRuntimeBase.h, 10.3 to 11.1).
    exact = writer.op("Cast", best, name="to_float", to=writer.onnx_dtype)
    writer.op("Cast", exact, name="to_uint8", as_output="labels", to=TensorProto.UINT8)
    if confidence and threshold is None:
        write_softmax_confidence(writer, logits, best, size=spec.input_size)
    elif confidence:
        write_sigmoid_confidence(writer, plane, best)
