"""The inference libraries whose ceilings can be measured, set up as the runtime's backends set them up.

To add one (CUDA, say) write a class like those below and name it in `LIBRARIES`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from tdnet_runtime.backends.no_telemetry import import_without_telemetry
from tdnet_runtime.backends.openvino_core import new_core
from tdnet_runtime.extras import require

__all__ = ["LIBRARIES", "FloatArray", "Library", "OnnxRuntimeLibrary", "OpenVinoLibrary", "Run"]

Run: TypeAlias = Callable[[], object]
"""Computes once; the result is complete on return."""
FloatArray: TypeAlias = npt.NDArray[np.float32]


class Library(Protocol):
    """An inference library on one device.

    Attributes:
        name: of the library, as the backend that uses it is called.
        precisions: that it can compute in here: some of `fp32`, `bf16`, `int8`.
        host_memory: True where its tensors lie in the host's memory.
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
        self._ort: Any = _imported("onnxruntime", extra="cpu")
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
        self._openvino: Any = _imported("openvino", extra="openvino")
        self._core = new_core()
        self._threads = threads
        able = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.precisions: tuple[str, ...] = tuple(p for p in ("fp32", "bf16", "int8") if p.upper() in able)

    def load(self, model: bytes, x: FloatArray, *, precision: str) -> Run:
        """See `Library.load`."""
        options = {
            "INFERENCE_NUM_THREADS": self._threads,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",  # of what is not quantised
        }
        network = self._core.read_model(model)
        request = self._core.compile_model(network, "CPU", options).create_infer_request()
        request.set_input_tensor(self._openvino.Tensor(x))
        request.set_output_tensor(self._openvino.Tensor(np.empty_like(x)))
        return lambda: request.infer(share_outputs=True)  # without it, each call copies the result


def _imported(name: str, *, extra: str) -> Any:
    try:
        return import_without_telemetry(name)
    except ImportError:
        require(name, extra=extra)  # says what is missing
        raise


LIBRARIES: dict[str, Callable[[int], Library]] = {
    "onnxruntime": OnnxRuntimeLibrary,
    "openvino": OpenVinoLibrary,
}
"""By name of the backend; made with the number of threads, raising MissingExtraError where not installed."""
