"""ONNX Runtime's CUDA provider: for GPUs without TensorRT, and as a cross-check of it.

Frames and labels go through the host, and ONNX Runtime has streams and CUDA graphs of its own: see
`ort_bound.py`. It uses the first visible GPU (CUDA_VISIBLE_DEVICES says which that is).
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import logging

from tdnet_runtime.backends.graph_precision import graph_precision, no_graphs
from tdnet_runtime.backends.no_telemetry import import_without_telemetry
from tdnet_runtime.backends.ort_bound import OrtBoundBackend
from tdnet_runtime.backends.ort_provider import Provider
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.forks import note_gpu

__all__ = ["CUDA", "PREFERRED", "open_bundle", "unavailable", "unsuited"]

logger = logging.getLogger(__name__)

PREFERRED = ("fp16", "fp32")

CUDA = Provider(
    name="CUDAExecutionProvider",
    device="cuda",
    options={
        "arena_extend_strategy": "kSameAsRequested",  # not the next power of two
        # ONNX Runtime 1.31.1, cuDNN 9.19, H100: with the exhaustive search a frame takes twice the time, and with that
        # and ONNX Runtime's own layout four times (docs/tensorrt.md)
        "cudnn_conv_algo_search": "HEURISTIC",
        "prefer_nhwc": "1",
        "use_tf32": "0",  # FP32 graphs are run in FP32
    },
    graphs={"enable_cuda_graph": "1"},
    config={"session.disable_cpu_ep_fallback": "1"},  # an error instead of a slow surprise
)

_CPU_WHEEL, _GPU_WHEEL = "onnxruntime", "onnxruntime-gpu"
_ANEW = f"pip uninstall --yes {_CPU_WHEEL} {_GPU_WHEEL} && pip install {_GPU_WHEEL}"


def unavailable() -> str | None:
    """Why ONNX Runtime cannot use CUDA here, and the fix; None where it can."""
    wheels = _installed()
    try:
        ort = import_without_telemetry("onnxruntime")  # an extra: imported where it is needed
        providers = ort.get_available_providers()
    except (ImportError, AttributeError) as error:  # AttributeError: a folder that is left after an uninstall
        if wheels:
            return (
                f"{' and '.join(wheels)} is installed and does not load ({error}); install it anew: {_ANEW}"
            )
        return f"ONNX Runtime is not installed ({error}); install it with: pip install {_GPU_WHEEL}"
    except Exception as error:  # whatever its libraries raise, another engine may do
        return f"ONNX Runtime does not load ({error}); install it anew: {_ANEW}"
    if CUDA.name not in providers:
        if wheels == [_CPU_WHEEL, _GPU_WHEEL]:
            return (
                f"{_CPU_WHEEL} and {_GPU_WHEEL} are both installed, into one folder, and the one without CUDA came "
                f"last; removing one breaks the other. Install it anew: {_ANEW}"
            )
        return f"the installed ONNX Runtime {ort.__version__} has no CUDA; install the one that has: {_ANEW}"
    if not _has_driver():
        return "no GPU can be used here (libcuda.so.1 does not load); check the driver with nvidia-smi"
    return None


def unsuited(bundle: Bundle, *, precision: str | None) -> str | None:
    """Why this bundle cannot be run; None where it can."""
    return no_graphs(bundle, precision, preferred=PREFERRED)


def open_bundle(bundle: Bundle, *, precision: str | None, threads: int | None) -> OrtBoundBackend:
    """Load all graphs of the bundle; `threads` means nothing here.

    Raises:
        BackendError: ONNX Runtime refuses a graph, or cannot run all of it on the GPU.
        BundleError: the file was changed since it was opened.
    """
    chosen = graph_precision(bundle, precision, preferred=PREFERRED)
    assert chosen is not None  # see `unsuited`
    if len(_installed()) == 2:
        logger.warning(
            "%s and %s are both installed, into one folder. This one has CUDA; removing or updating the other "
            "breaks it. Install it anew: %s",
            _CPU_WHEEL,
            _GPU_WHEEL,
            _ANEW,
        )
    note_gpu()
    return OrtBoundBackend(bundle, CUDA, name="cuda", precision=chosen)


def _installed() -> list[str]:
    """Which of the two wheels pip knows of; the module itself does not say."""
    found = []
    for wheel in (_CPU_WHEEL, _GPU_WHEEL):
        try:
            importlib.metadata.distribution(wheel)
        except importlib.metadata.PackageNotFoundError:
            continue
        found.append(wheel)
    return found


def _has_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True
