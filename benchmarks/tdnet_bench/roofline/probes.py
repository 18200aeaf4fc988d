"""Work whose size is known, as ONNX models, and the inference libraries that ceilings are measured through with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from tdnet_runtime.backends.no_telemetry import import_without_telemetry
from tdnet_runtime.extras import require

__all__ = [
    "LIBRARIES", "PROBES", "FloatArray", "Library", "OnnxRuntimeLibrary", "OpenVinoLibrary", "Probe", "Run",
    "copy_model", "probe_model",
]  # fmt: skip

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


Run: TypeAlias = Callable[[], object]
"""Computes once; the result is complete on return."""
FloatArray: TypeAlias = npt.NDArray[np.float32]


class Library(Protocol):
    """An inference library on one device, called as the backend that uses it.

    It computes in some of `fp32`, `bf16`, `int8` here; `host_memory` where its tensors lie in the host's memory.
    """

    name: str
    precisions: tuple[str, ...]
    host_memory: bool

    def load(self, model: bytes, x: FloatArray, *, precision: str) -> Run:
        """Load an ONNX model with one input and one output of the shape of `x`, bound to memory."""


class OnnxRuntimeLibrary:
    """ONNX Runtime on the CPU: FP32 and INT8, as its backend runs them."""

    name = "onnxruntime"
    precisions: tuple[str, ...] = ("fp32", "int8")
    host_memory = True

    def __init__(self, threads: int) -> None:
        self._ort: Any = require("onnxruntime", extra="cpu")
        self._threads = threads

    def load(self, model: bytes, x: FloatArray, *, precision: str) -> Run:
        """See `Library.load`."""
        options = self._ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        session = self._ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        binding = session.io_binding()
        bound = [self._ort.OrtValue.ortvalue_from_numpy(array) for array in (x, np.empty_like(x))]
        binding.bind_ortvalue_input("x", bound[0])
        binding.bind_ortvalue_output("y", bound[1])

        def run(owners: object = bound) -> None:  # bindings of 1.32 keep the arrays; undocumented
            session.run_with_iobinding(binding)

        return run


class OpenVinoLibrary:
    """OpenVINO on the CPU: FP32, BF16 where the processor has it, and INT8."""

    name = "openvino"
    host_memory = True

    def __init__(self, threads: int) -> None:
        try:
            self._openvino: Any = import_without_telemetry("openvino")
        except ImportError:
            require("openvino", extra="openvino")  # says what is missing
            raise
        self._core = self._openvino.Core()
        self._threads = threads
        able = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.precisions: tuple[str, ...] = tuple(p for p in ("fp32", "bf16", "int8") if p.upper() in able)

    def load(self, model: bytes, x: FloatArray, *, precision: str) -> Run:
        """See `Library.load`."""
        options = {
            "INFERENCE_NUM_THREADS": self._threads,
            "PERFORMANCE_HINT": "LATENCY",
            # what is not quantised in an INT8 graph is computed in this type
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        }
        request = self._core.compile_model(
            self._core.read_model(model), "CPU", options
        ).create_infer_request()
        request.set_input_tensor(self._openvino.Tensor(x))
        request.set_output_tensor(self._openvino.Tensor(np.empty_like(x)))
        return lambda: request.infer(share_outputs=True)  # without it, each call copies the result


LIBRARIES: dict[str, Callable[[int], Library]] = {
    "onnxruntime": OnnxRuntimeLibrary,
    "openvino": OpenVinoLibrary,
}
"""By name of the backend; made with the number of threads, raising MissingExtraError where not installed."""
