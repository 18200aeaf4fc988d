"""The inference engines: one module each, imported only when asked for."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Container, Mapping
from numbers import Integral
from typing import Protocol, cast

from tdnet_runtime.backends.base import Backend
from tdnet_runtime.backends.graph_precision import IN_BF16
from tdnet_runtime.bundle import Bundle
from tdnet_runtime.errors import BackendError, OptionError
from tdnet_runtime.forks import obstacle_to_gpus, starting_engine
from tdnet_runtime.preflight import SIGNED_INT8

__all__ = ["AUTO_ORDER", "BACKENDS", "PRECISIONS", "check_names", "obstacle", "open_backend", "unavailable"]

logger = logging.getLogger(__name__)

BACKENDS = ("tensorrt", "tensorrt-rtx", "cuda", "openvino", "onnxruntime", "fake")
"""Names that `open_backend` knows; each is a module of this package, with `_` for `-`."""

AUTO_ORDER = ("tensorrt", "tensorrt-rtx", "cuda", "openvino", "onnxruntime")
"""What `auto` tries, in this order. `fake` computes nothing and is never chosen."""

_ON_GPUS = ("tensorrt", "tensorrt-rtx", "cuda")
_COMPUTES_BF16 = "openvino"

PRECISIONS = ("fp32", "fp16", "bf16", "int8", "int8-bf16", SIGNED_INT8)
"""What a user may ask for. No graph is BF16: `openvino` computes so what graphs state in FP32."""


class BackendModule(Protocol):
    """What a module of this package offers.

    Attributes:
        PREFERRED: the precisions that the engine runs unasked, best first.
    """

    PREFERRED: tuple[str, ...]

    def unavailable(self) -> str | None:
        """Why the engine cannot be used here, and the fix; None where it can."""

    def unsuited(self, bundle: Bundle, *, precision: str | None) -> str | None:
        """Why the engine, which can be used here, cannot run this bundle, and the fix; None where it can."""

    def open_bundle(self, bundle: Bundle, *, precision: str | None, threads: int | None) -> Backend:
        """Load the bundle's graphs; raises BackendError."""


@starting_engine()
def open_backend(
    name: str, bundle: Bundle, *, precision: str | None = None, threads: int | None = None
) -> Backend:
    """Load `bundle` on the backend `name`, or on the first one that can run it of `AUTO_ORDER` for `auto`.

    Args:
        name: of the backend, or `auto`.
        bundle: verified.
        precision: to compute the bundle in; None for the best of its graphs' that the backend runs unasked.
        threads: of the CPU; None for as many as can compute at once: this process's cores, and its CPU quota.

    Raises:
        OptionError: no such backend or precision, or a thread count below 1.
        BackendError: the engine is absent (the message says what to install) or refuses the graphs, or the
            bundle has no graphs in such a precision, or this process was forked in the midst of an engine's work.
    """
    if threads is not None and (
        isinstance(threads, bool) or not isinstance(threads, Integral) or threads < 1
    ):
        raise OptionError(f"threads is {threads!r}; expected 1 or more, or nothing for all available cores")
    check_names(name, bundle, precision=precision)
    reasons: dict[str, str] = {}
    for candidate in AUTO_ORDER if name == "auto" else (name,):
        reason = obstacle(candidate, bundle, precision=precision)
        if reason is None:
            try:
                backend = _module(candidate).open_bundle(bundle, precision=precision, threads=threads)
            except BackendError as error:
                if name != "auto":
                    raise
                logger.warning("backend %s seemed to fit, and does not open: %s", candidate, error)
                reasons[candidate] = str(error)
                continue
            passed = f" (not used: {_listed(reasons)})" if reasons else ""
            # Engines were built to be used, and a parent's GPU is missed: worth more than a remark.
            level = logging.WARNING if _has_engines(bundle, reasons) or obstacle_to_gpus() else logging.INFO
            logger.log(level, "backend %s: %s%s", backend.name, backend.description, passed)
            return backend
        reasons[candidate] = reason
    raise BackendError(f"no backend can run this bundle here. {_listed(reasons)}")


def check_names(name: str, bundle: Bundle, *, precision: str | None) -> None:
    """Raise OptionError where there is no backend or precision of these names."""
    if name != "auto" and name not in BACKENDS:
        raise OptionError(f"there is no backend {name!r}; known are: auto, {', '.join(BACKENDS)}")
    if precision is not None and precision not in (*PRECISIONS, *bundle.manifest.precisions):
        raise OptionError(f"there is no precision {precision!r}; known are: {', '.join(PRECISIONS)}")


def unavailable(name: str) -> str | None:
    """Why the engine of the backend `name` cannot be used here, whatever the bundle, and the fix; None where it can."""
    return (obstacle_to_gpus() if name in _ON_GPUS else None) or _module(name).unavailable()


def obstacle(name: str, bundle: Bundle, *, precision: str | None) -> str | None:
    """Why the backend `name` does not run `bundle` here, and the fix; None where nothing is known to speak against it."""
    return (
        _no_arithmetic(name, precision)
        or unavailable(name)
        or _module(name).unsuited(bundle, precision=precision)
    )


def _module(name: str) -> BackendModule:
    return cast(BackendModule, importlib.import_module(f"{__name__}.{name.replace('-', '_')}"))


def _no_arithmetic(candidate: str, precision: str | None) -> str | None:
    """Why a backend cannot compute in a precision that no graph has, and the fix; None otherwise."""
    if precision not in IN_BF16 or candidate == _COMPUTES_BF16:
        return None
    graphs = IN_BF16[precision]
    return (
        f"it does not compute in {precision}, only {_COMPUTES_BF16} does; ask for {graphs} (precision={graphs!r}, "
        f"--precision {graphs})"
    )


def _has_engines(bundle: Bundle, backends: Container[str]) -> bool:
    return any(spec.backend in backends for spec in bundle.manifest.engines)


def _listed(reasons: Mapping[str, str]) -> str:
    return "; ".join(f"{candidate}: {reason}" for candidate, reason in reasons.items())
