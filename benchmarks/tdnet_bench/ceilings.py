"""What this machine can do at best, measured through the libraries that run the graphs.

Compute: the best of several chains of large matrix products and 3×3 convolutions, among them the network's own
at full size. Each is counted as in `flops.py` and timed at its fastest repeat, so that a share of it that
is above 100 % is an error of the ceiling. Copying: bytes read plus bytes written, per second, at several sizes,
since what fits into a cache is not bound by the memory.

To add a library (CUDA, say) write one class like those below and name it in `LIBRARIES`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from tdnet_bench.roofline import Ceilings, ComputeCeiling, CopyRate, ProbeRate
from tdnet_runtime.backends.no_telemetry import import_without_telemetry
from tdnet_runtime.errors import MissingExtraError, OptionError
from tdnet_runtime.extras import require

__all__ = [
    "BUDGET_S",
    "COPY_MIB",
    "LIBRARIES",
    "PROBES",
    "Library",
    "OnnxRuntimeLibrary",
    "OpenVinoLibrary",
    "Probe",
    "best_seconds",
    "copy_model",
    "measure_ceilings",
    "probe_model",
]

BUDGET_S = 2.0
"""Timed seconds for each library and precision; loading the probes is not in it."""
COPY_MIB = (2, 16, 64, 256)
"""Bytes read plus bytes written by one copy; the largest is beyond usual caches."""
_MIN_REPEATS = 3
_ROWS = 64  # of a copy, for the threads to share
_SCALE = 0.04  # of quantised values, which are of the order of 1

Run: TypeAlias = Callable[[], object]
"""Computes once; the result is complete on return."""
FloatArray: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A chain of equal layers that keep their input's shape, so that what surrounds it weighs little.

    Attributes:
        name: for the report.
        shape: [1, C, h, w] for convolutions, [rows, C] for products with a C×C matrix.
        kernel: side of the kernel; 1 for products.
        dilation: of the convolution.
        depth: number of layers.
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
    """ONNX Runtime on the CPU. FP32 only: that is what its backend runs."""

    name = "onnxruntime"
    precisions: tuple[str, ...] = ("fp32",)
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


def measure_ceilings(
    libraries: Sequence[str],
    *,
    threads: int,
    budget_s: float = BUDGET_S,
    probes: Sequence[Probe] = PROBES,
    copy_mib: Sequence[float] = COPY_MIB,
) -> Ceilings:
    """Measure all that the named libraries offer, and copying.

    Memory grows by up to 3/4 GiB meanwhile, so read peaks before.

    Args:
        libraries: keys of `LIBRARIES`, all of one device; one that is not installed, or that fails, ends up
            in the notes.
        threads: of each.
        budget_s: seconds to time for each library and precision; a quarter of it for all copies.
        probes: at least one.
        copy_mib: sizes of copies in MiB, read plus written.

    Raises:
        OptionError: an unknown library.
        MissingExtraError: `onnx` is not installed, so that no probe can be written.
    """
    if unknown := [name for name in libraries if name not in LIBRARIES]:
        raise OptionError(
            f"measuring what this machine can do: there is no library {unknown[0]!r}; known are: "
            f"{', '.join(LIBRARIES)}"
        )
    require("onnx", extra="bench")
    notes: list[str] = []
    compute: list[ComputeCeiling] = []
    present: list[Library] = []
    for name in libraries:
        try:
            library = LIBRARIES[name](threads)
        except MissingExtraError as error:
            notes.append(f"ceilings of {name} were NOT measured: {error}")
            continue
        present.append(library)
        for precision in library.precisions:
            with _noted(f"the ceiling of {name} in {precision}", notes):
                compute.append(_compute_ceiling(library, precision, probes, budget_s))
    copies: list[CopyRate] = []
    for mib in sorted(copy_mib):
        with _noted(f"copying {mib} MiB", notes):
            copies.append(_copy_rate(present, mib, threads=threads, budget_s=budget_s / 4 / len(copy_mib)))
    return Ceilings(threads=threads, compute=tuple(compute), copies=tuple(copies), notes=tuple(notes))


def best_seconds(
    run: Run, *, budget_s: float, clock: Callable[[], float] = time.perf_counter
) -> tuple[float, int]:
    """Seconds of the fastest run, and how many were timed: at least three, and more until `budget_s` is spent.

    One more comes before them, untimed.
    """
    run()
    best, repeats, spent = math.inf, 0, 0.0
    while repeats < _MIN_REPEATS or spent < budget_s:
        started = clock()
        run()
        took = clock() - started
        best, repeats, spent = min(best, took), repeats + 1, spent + took
    return best, repeats


def probe_model(probe: Probe, *, quantised: bool = False) -> bytes:
    """The probe as an ONNX model from `x` to `y`; convolutions have a Relu each, as in the network.

    With `quantised`, both factors of each product pass through 8 bits: uint8 before convolutions.
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
        y = "y" if layer == probe.depth - 1 else f"y{layer}"
        if conv:
            pads, dilations = [probe.dilation * (side // 2)] * 4, [probe.dilation] * 2
            x = node("Conv", [x, weight], f"product{layer}", pads=pads, dilations=dilations)
            x = node("Relu", [x], y)
        else:
            x = node("MatMul", [x, weight], y)
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


def _compute_ceiling(
    library: Library, precision: str, probes: Sequence[Probe], budget_s: float
) -> ComputeCeiling:
    rates = []
    for probe in probes:
        x = np.random.default_rng(1).standard_normal(probe.shape, dtype=np.float32)
        run = library.load(probe_model(probe, quantised=precision == "int8"), x, precision=precision)
        seconds, repeats = best_seconds(run, budget_s=budget_s / len(probes))
        rates.append(ProbeRate(probe=probe.name, gflop_per_s=probe.flops / seconds / 1e9, repeats=repeats))
    best = max(rate.gflop_per_s for rate in rates)
    return ComputeCeiling(library=library.name, precision=precision, gflop_per_s=best, probes=tuple(rates))


def _copy_rate(libraries: Sequence[Library], mib: float, *, threads: int, budget_s: float) -> CopyRate:
    """The fastest way to copy so much: through each library, and NumPy where one of them is on the host."""
    x = np.ones((_ROWS, max(int(mib * 2**20) // (8 * _ROWS), 1)), np.float32)
    model = copy_model(x.shape)
    ways = {library.name: library.load(model, x, precision="fp32") for library in libraries}
    with ThreadPoolExecutor(threads) as pool:
        if all(library.host_memory for library in libraries):
            parts = list(
                zip(np.array_split(np.empty_like(x), threads), np.array_split(x, threads), strict=True)
            )
            ways["numpy"] = lambda: list(pool.map(lambda part: np.copyto(*part), parts))
        seconds, method = min(
            (best_seconds(run, budget_s=budget_s / len(ways))[0], name) for name, run in ways.items()
        )
    return CopyRate(footprint_bytes=2 * x.nbytes, gb_per_s=2 * x.nbytes / seconds / 1e9, method=method)


@contextmanager
def _noted(what: str, notes: list[str]) -> Iterator[None]:
    """Turn a library's failure into a note: the benchmark itself does not depend on it."""
    try:
        yield
    except Exception as error:  # the libraries' errors have no public base class
        notes.append(f"{what} was NOT measured: {error}")
