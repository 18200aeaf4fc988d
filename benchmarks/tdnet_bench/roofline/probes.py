"""Work whose size is known, as ONNX models: what ceilings are measured with.

Compute: chains of large matrix products and 3×3 convolutions, among them the network's own at full size. Each is
counted as in `costs.py`. Copying: a model that reads and writes everything once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tdnet_runtime.extras import require

__all__ = ["PROBES", "Probe", "copy_model", "probe_model"]

_SCALE = 0.04  # of quantised values, which are of the order of 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A chain of `depth` equal layers that keep their input's shape, so that what surrounds it weighs little.

    The shape is [1, C, h, w] for convolutions, [rows, C] for products with a C×C matrix, whose kernel is 1.
    """

    name: str
    shape: tuple[int, ...]
    kernel: int = 1
    dilation: int = 1
    depth: int

    @property
    def channels(self) -> int:
        """C."""
        return self.shape[1]

    @property
    def flops(self) -> int:
        """Two for each multiply-add."""
        return 2 * self.depth * math.prod(self.shape) * self.channels * self.kernel**2


PROBES = (
    Probe(name="product 1024×1024×1024", shape=(1024, 1024), depth=4),
    Probe(name="product 4096×512×512", shape=(4096, 512), depth=4),
    Probe(name="3×3, 64 ch, 193×385", shape=(1, 64, 193, 385), kernel=3, depth=2),
    Probe(name="3×3, 128 ch, 97×193", shape=(1, 128, 97, 193), kernel=3, depth=4),
    Probe(name="3×3 dilated 2, 256 ch, 97×193", shape=(1, 256, 97, 193), kernel=3, dilation=2, depth=2),
    Probe(name="3×3 dilated 4, 512 ch, 49×97", shape=(1, 512, 49, 97), kernel=3, dilation=4, depth=2),
)
"""The last is a quarter of the network's own, for the time's sake."""


def probe_model(probe: Probe, *, quantised: bool = False) -> bytes:
    """The probe as an ONNX model from `x` to `y`; convolutions have a Relu each, as in the network.

    With `quantised`, both factors and the result of each layer pass through 8 bits (uint8 around convolutions):
    ONNX Runtime computes a convolution in INT8 only where its result is quantised, too.
    """
    onnx: Any = require("onnx", extra="bench")
    helper = onnx.helper
    values = np.random.default_rng(0)
    side, conv = probe.kernel, len(probe.shape) == 4
    weight_shape = (probe.channels, probe.channels, *([side, side] if conv else []))
    # keeps the values' size from layer to layer: a Relu loses half of them
    scale = np.float32(((2 if conv else 1) / (probe.channels * side**2)) ** 0.5)
    weights: dict[str, npt.NDArray[Any]] = {}
    if quantised:
        weights["scale"], weights["step"] = np.array(_SCALE, np.float32), np.array(scale / 64, np.float32)
        weights["zero"] = np.zeros((), np.uint8 if conv else np.int8)
    nodes, x = [], "x"

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    for layer in range(probe.depth):
        weight = f"weight{layer}"
        weights[weight] = values.standard_normal(weight_shape, dtype=np.float32) * scale
        if quantised:
            weights[weight] = (weights[weight] / weights["step"]).clip(-127, 127).astype(np.int8)
            weight = node("DequantizeLinear", [weight, "step"], f"{weight}/float")
            x = node("QuantizeLinear", [x, "scale", "zero"], f"stored{layer}")
            x = node("DequantizeLinear", [x, "scale", "zero"], f"{x}/float")
        y = "y" if layer == probe.depth - 1 and not quantised else f"y{layer}"
        if conv:
            pads, dilations = [probe.dilation * (side // 2)] * 4, [probe.dilation] * 2
            x = node("Conv", [x, weight], f"product{layer}", pads=pads, dilations=dilations)
            x = node("Relu", [x], y)
        else:
            x = node("MatMul", [x, weight], y)
    if quantised:
        x = node("QuantizeLinear", [x, "scale", "zero"], "stored")
        node("DequantizeLinear", [x, "scale", "zero"], "y")
    return _model_bytes(onnx, nodes, probe.shape, weights)


def copy_model(shape: Sequence[int]) -> bytes:
    """An ONNX model that reads all of `x` and writes all of `y`: a Relu, since copies may be optimised away."""
    onnx: Any = require("onnx", extra="bench")
    return _model_bytes(onnx, [onnx.helper.make_node("Relu", ["x"], ["y"], name="y")], shape, {})


def _model_bytes(
    onnx: Any, nodes: list[Any], shape: Sequence[int], weights: dict[str, npt.NDArray[Any]]
) -> bytes:
    helper = onnx.helper
    x, y = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in "xy")
    stored = [onnx.numpy_helper.from_array(values, name) for name, values in weights.items()]
    graph = helper.make_graph(nodes, "ceiling", [x], [y], initializer=stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data
