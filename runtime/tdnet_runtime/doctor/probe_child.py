"""The child process of `probing.py`: it tries what may crash or hang, and tells before and after each.

What it tells is a line of JSON each. stdout is kept for that: libraries that write there are led to stderr.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import importlib.util
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tdnet_runtime.errors import MissingExtraError, TdnetError
from tdnet_runtime.extras import require

__all__ = ["main"]

_MODULES = {
    "tensorrt": "tensorrt",
    "tensorrt-rtx": "tensorrt_rtx",
    "cuda": "onnxruntime",
    "openvino": "openvino",
    "onnxruntime": "onnxruntime",
}
"""What each backend imports."""

Result = tuple[str, str, dict[str, Any]]
"""State, reason or remark, facts."""


def main(arguments: list[str]) -> None:
    """Run each probe (a JSON list: its kind, and what that takes) of `arguments` after the first, the limit in seconds."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # not on every system

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash leaves no file
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    faulthandler.enable(all_threads=False)  # where it was, for the parent
    limit_s = float(arguments[0])
    for number, text in enumerate(arguments[1:]):
        signal.alarm(int(limit_s) + 5)  # where the parent is gone
        faulthandler.dump_traceback_later(0.8 * limit_s)
        print(json.dumps({"begin": number}), file=told, flush=True)
        kind, *given = json.loads(text)
        state, words, facts = _tried(_PROBES[kind], given)
        print(
            json.dumps({"end": number, "state": state, "words": words, "facts": facts}), file=told, flush=True
        )
    told.close()
    os._exit(0)  # without the destructors of all that was imported, some of which wait


def _tried(probe: Callable[..., Result], given: list[str]) -> Result:
    try:
        return probe(*given)
    except MissingExtraError as error:
        absent = isinstance(error.__cause__, ModuleNotFoundError)
        return "absent" if absent else "broken", str(error), {}
    except TdnetError as error:
        return "broken", str(error), {}
    except BaseException as error:  # whatever a broken installation raises
        return "broken", f"{type(error).__name__}: {' '.join(str(error).split())}", {}


def _backend(name: str) -> Result:
    """The engine alone, without a bundle."""
    from tdnet_runtime.backends import unavailable

    reason = unavailable(name)
    module = _MODULES[name]
    if reason is not None:
        try:
            there = importlib.util.find_spec(module) is not None
        except (ImportError, ValueError):
            there = True
        return "broken" if there and module not in sys.modules else "absent", reason, {}
    return "ok", _engine(name), {}


def _engine(name: str) -> str:
    """Version and device."""
    module = sys.modules[_MODULES[name]]
    version = str(getattr(module, "__version__", "of an unknown version"))
    if name == "openvino":
        core = module.Core()
        able = ", ".join(sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")))
        return f"OpenVINO {version.partition('-')[0]}, {able}"
    if name in ("tensorrt", "tensorrt-rtx"):
        backend = importlib.import_module(f"tdnet_runtime.backends.{module.__name__}").BACKEND
        facts = backend.facts()
        cuda = (
            f", the driver serves CUDA {'.'.join(map(str, facts.driver_cuda))}" if facts.driver_cuda else ""
        )
        return f"{version} on {facts.device_name}, compute capability {facts.compute_capability}{cuda}"
    return f"ONNX Runtime {version}"


def _room(module: str, extra: str) -> Result:
    """A module of this project, with the packages that it imports."""
    require(module, extra=extra)
    return "ok", "", {}


def _package(module: str, extra: str) -> Result:
    found = require(module, extra=extra)
    return "ok", str(getattr(found, "__version__", "")), {}


def _dds() -> Result:
    require("cyclonedds", extra="dds")
    library = importlib.import_module("tdnet_runtime.transports.dds_library").library
    library()
    return "ok", "", {}


def _fit(backend: str, path: str, precision: str, sha256: str) -> Result:
    """Whether a backend would take the bundle."""
    from tdnet_runtime.backends import obstacle
    from tdnet_runtime.bundle import Bundle

    with Bundle.open(path, sha256=sha256 or None) as bundle:
        reason = obstacle(backend, bundle, precision=precision or None)
    return ("ok", "", {}) if reason is None else ("absent", reason, {})


def _frame(backend: str, path: str, precision: str, sha256: str) -> Result:
    """Open the bundle and push one black frame."""
    import numpy as np

    from tdnet_runtime.segmenter import Segmenter

    before = _resident_mib("VmRSS")
    with Segmenter.open(
        path, backend=backend, precision=precision or None, sha256=sha256 or None
    ) as segmenter:
        size = segmenter.manifest.input
        with segmenter.stream() as stream:
            labels = stream.push(np.zeros((size.height, size.width, 3), np.uint8)).labels
            facts: dict[str, Any] = {
                "backend": segmenter.backend.name,
                "precision": segmenter.backend.precision,
                "description": segmenter.backend.description,
                "memory_mib": max(0, _resident_mib("VmHWM") - before),
            }
    if labels.max(initial=0) >= max(2, len(segmenter.manifest.classes)):
        return (
            "broken",
            f"its labels go up to {labels.max()}, it has {len(segmenter.manifest.classes)} classes",
            facts,
        )
    return "ok", "", facts


def _resident_mib(field: str) -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) >> 10
    return 0


_PROBES: dict[str, Callable[..., Result]] = {
    "backend": _backend,
    "dds": _dds,
    "fit": _fit,
    "frame": _frame,
    "package": _package,
    "room": _room,
}
