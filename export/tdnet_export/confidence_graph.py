"""The output `confidence`: how sure the network is of each label, uint8 [1, H, W], 255 for a share of 1.

With several classes it is the label's share of the softmax, 1/Σ exp(l − l of the label): the label's exponential is 1 and
the largest, so that no other share is computed. ArgMax has found where it is: to gather it takes a fifth of the time of
looking for the largest again, in ONNX Runtime on a CPU, where Softmax over classes takes ten times as long as all of this.
"""

from __future__ import annotations

from onnx import TensorProto

from tdnet_export.onnx_writer import GraphWriter
from tdnet_export.ops import reshape

__all__ = ["write_sigmoid_confidence", "write_softmax_confidence"]

_FULL = 255.0


def write_softmax_confidence(writer: GraphWriter, logits: str, best: str, *, size: tuple[int, int]) -> str:
    """Logits [1, K, H, W], and the largest one's index [1, H, W] → the output `confidence`: its softmax share."""
    with writer.scope("confidence"):
        index = reshape(writer, best, [1, 1, *size], name="index")
        largest = writer.op("GatherElements", logits, index, name="largest", axis=1)
        parts = writer.op("Exp", writer.op("Sub", logits, largest, name="below"), name="parts")
        total = writer.op("ReduceSum", parts, writer.integers("axes", [1]), name="sum", keepdims=0)
        return _write_steps(writer, writer.op("Div", writer.weight("full", _FULL), total, name="steps"))


def write_sigmoid_confidence(writer: GraphWriter, logit: str, above: str) -> str:
    """Logit [1, H, W], and whether the label is 1 → the output `confidence`: the probability of the label's class."""
    with writer.scope("confidence"):
        own = writer.op("Where", above, logit, writer.op("Neg", logit, name="negative"), name="own")
        share = writer.op("Sigmoid", own, name="share")
        return _write_steps(writer, writer.op("Mul", share, writer.weight("full", _FULL), name="steps"))


def _write_steps(writer: GraphWriter, steps: str) -> str:
    # Rounded before the Cast, which cuts off in ONNX Runtime and TensorRT, and need not do so everywhere.
    rounded = writer.op("Round", steps, name="round")
    return writer.op("Cast", rounded, name="to_uint8", as_output="confidence", to=TensorProto.UINT8)
